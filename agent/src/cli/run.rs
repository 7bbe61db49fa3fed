//! `ringward executer` and `ringward node`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use ringward::executer::{self, Patience};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{PathArgs, block_on};

/// Options of the executer.
#[derive(Debug, Args)]
pub(super) struct Executer {
    /// Leave the network daemon of this server alone
    #[arg(long)]
    no_network_watch: bool,
    #[command(flatten)]
    paths: PathArgs,
}

impl Executer {
    pub(super) fn run(self) -> Result<ExitCode> {
        let paths = self.paths.into();
        block_on(async {
            let stop = terminated()?;
            let watch = executer::watch_network(&paths);
            let run = executer::run(paths.clone(), Patience::default(), stop);
            if self.no_network_watch {
                run.await;
            } else {
                tokio::select! {
                    () = run => {}
                    () = watch => {}
                }
            }
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// Options of the node.
#[derive(Debug, Args)]
pub(super) struct Node {
    /// End when standard input closes, too
    #[arg(long)]
    supervised: bool,
    #[command(flatten)]
    paths: PathArgs,
}

impl Node {
    pub(super) fn run(self) -> Result<ExitCode> {
        block_on(async {
            let stop = terminated()?;
            let supervised = self.supervised;
            let stop = async move {
                tokio::select! {
                    () = stop => {}
                    () = closed(), if supervised => {}
                }
            };
            ringward::node::run(self.paths.into(), stop).await?;
            Ok(ExitCode::SUCCESS)
        })?
    }
}

/// Ends when standard input does: the executer holds the other end. A thread of its own waits
/// for it, which does not keep the program from ending.
async fn closed() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = std::io::sink();
        let _ = std::io::copy(&mut std::io::stdin(), &mut sink);
        let _ = ended.send(());
    });
    let _ = end.await;
}

fn on(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("listen to signals")
}

/// Ends on SIGTERM or SIGINT.
pub(super) fn terminated() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
