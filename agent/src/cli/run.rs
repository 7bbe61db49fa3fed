//! `ringward executer`.

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
