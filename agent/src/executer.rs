//! The executer (paper, section 2.3): the only thing that the operating system starts.
//!
//! While the flag file is there, it keeps the management program running: it copies the signed
//! release and the management data from the share to the local disk, checks them, and runs
//! `ringward node` of that release as a child. When the flag goes away everything stops. Beside
//! that it watches the network daemon of this server.
//!
//! * Share away at start: after a while the last good copy is used, and the log says so. Without
//!   one there is nothing to run; it says that, and tries on.
//! * A release whose signature is not by this cluster's key is never run, wherever it comes from.
//! * A new release on the share is taken when the node is next started. (Rolling it through the
//!   ring by itself is for later; until then: `ringward flag clear`, `ringward flag set`, one
//!   server at a time.)
//! * The node ended by itself: it is started again, after a pause that grows.
//! * systemd is told that this server is ready when its function is at home, or has not come within
//!   some seconds, or when it is not to manage. What can wait for that is ordered after the executer.

mod child;
mod copies;
pub mod flag;
mod readiness;

use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::host::{lan::Lan, netdaemon};
use crate::observe::chain;
use crate::release::ReleaseError;
use crate::share::Share;
use crate::site::{Paths, Site};

use child::{BackOff, Node};
pub use copies::CopyError;
use copies::Release;

/// How patient the executer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often the flag file is looked for.
    pub poll: Duration,
    /// Time for one operation on the share.
    pub share: Duration,
    /// How long the share may be away at start before the last good copy is used.
    pub start: Duration,
    /// How long the function may take to come home before this server counts as ready without it.
    pub home: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            share: Duration::from_secs(5),
            start: Duration::from_secs(15),
            home: Duration::from_secs(20),
        }
    }
}

/// Why the node could not be started now.
#[derive(Debug, Error)]
pub enum ExecuterError {
    /// Neither share nor local disk has a release.
    #[error(
        "no release to run: the share gives none ({share}), and there is no last good copy ({local}); put one on the share with `ringward release sign`"
    )]
    NoRelease {
        /// Why not from the share.
        share: CopyError,
        /// Why not from the local disk.
        local: ReleaseError,
    },
    /// The release is there but does not start.
    #[error("start {binary}: {cause}")]
    Start {
        /// The program.
        binary: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
}

/// Runs until `stop`; then stops the node.
pub async fn run(paths: Paths, patience: Patience, stop: impl Future<Output = ()>) {
    // Beside the work: a share that hangs must not keep systemd waiting.
    let tell_ready = async {
        readiness::wait(&paths, patience).await;
        notify(sd_notify::NotifyState::Ready);
        pending().await
    };
    tokio::select! {
        () = manage(paths.clone(), patience, stop) => {}
        () = tell_ready => {}
    }
}

async fn manage(paths: Paths, patience: Patience, stop: impl Future<Output = ()>) {
    let share = Share::open(&paths.share, patience.share);
    let mut executer = Executer {
        paths,
        patience,
        share,
        first: true,
    };
    let mut node: Option<Node> = None;
    let mut back_off = BackOff::default();
    let mut ticks = interval(patience.poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            status = ended(&mut node) => {
                let ran = node.take().map_or(Duration::ZERO, |node| node.ran());
                let pause = back_off.failed(Instant::now(), ran).as_secs();
                let how = status.map_or_else(|e| e.to_string(), |status| status.to_string());
                let ran = ran.as_secs();
                tracing::error!("the node ended after {ran} s ({how}); it is started again in {pause} s");
            }
            _ = ticks.tick() => {}
        }
        let wanted = match flag::is_set(&executer.paths.flag()) {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::error!(
                    "look for {}: {error}; nothing is changed",
                    executer.paths.flag().display()
                );
                continue;
            }
        };
        match (node.take(), wanted) {
            (Some(running), false) => {
                tracing::info!("the flag is gone: management stops");
                notify(sd_notify::NotifyState::Status(
                    "the flag is gone: not managing",
                ));
                running.stop().await;
            }
            (None, true) if back_off.is_over(Instant::now()) => {
                let started = tokio::select! {
                    () = &mut stop => break,
                    started = executer.start() => started,
                };
                match started {
                    Ok(started) => node = Some(started),
                    Err(error) => {
                        let pause = back_off.failed(Instant::now(), Duration::ZERO).as_secs();
                        tracing::error!("{error}; next try in {pause} s");
                        notify(sd_notify::NotifyState::Status(&error.to_string()));
                    }
                }
            }
            (same, _) => node = same,
        }
    }
    notify(sd_notify::NotifyState::Stopping);
    if let Some(running) = node {
        running.stop().await;
    }
}

/// Waits for the end of the node; for ever when there is none.
async fn ended(node: &mut Option<Node>) -> io::Result<std::process::ExitStatus> {
    match node {
        Some(node) => node.ended().await,
        None => pending().await,
    }
}

/// Tells systemd; that nobody listens is no error.
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::debug!("tell systemd: {error}");
    }
}

/// Watches the network daemon of this server, for ever (the paper's network examination program).
///
/// What stands in the way is told and tried again: the site medium or the kernel may be late.
pub async fn watch_network(paths: &Paths) {
    const AGAIN: Duration = Duration::from_secs(30);
    loop {
        let site = match Site::load(&paths.site) {
            Ok(site) => site,
            Err(error) => {
                tracing::error!("the network daemon is not watched: {error}");
                sleep(AGAIN).await;
                continue;
            }
        };
        let tell = |line: String| tracing::warn!("{line}");
        let ended = match Lan::open(&site.device) {
            Ok(lan) => netdaemon::watch(&lan, netdaemon::Patience::default(), tell).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended;
        tracing::error!("the network daemon is not watched: {}", chain(&error));
        sleep(AGAIN).await;
    }
}

struct Executer {
    paths: Paths,
    patience: Patience,
    share: Share,
    first: bool,
}

impl Executer {
    async fn start(&mut self) -> Result<Node, ExecuterError> {
        let release = self.release().await?;
        self.first = false;
        match copies::refresh_data(&self.paths, &self.share).await {
            Ok(complaints) => {
                for complaint in complaints {
                    tracing::warn!("{complaint}; the last good copy stays in use");
                }
            }
            Err(error) => tracing::warn!(
                "management data is not copied: {error}; the last good copy stays in use"
            ),
        }
        let start = |cause| ExecuterError::Start {
            binary: release.binary.clone(),
            cause,
        };
        let node = Node::start(&release, &self.paths).map_err(start)?;
        tracing::info!("node started, release {}", release.version);
        let text = format!("node runs, release {}", release.version);
        notify(sd_notify::NotifyState::Status(&text));
        Ok(node)
    }

    /// The release to run: of the share, else the last good one.
    async fn release(&self) -> Result<Release, ExecuterError> {
        let patience = if self.first {
            self.patience.start
        } else {
            Duration::ZERO
        };
        let give_up = Instant::now() + patience;
        let share = loop {
            match copies::refresh_release(&self.paths, &self.share).await {
                Ok(release) => return Ok(release),
                Err(error) if !error.may_pass() || Instant::now() >= give_up => break error,
                Err(error) => {
                    tracing::debug!("{error}");
                    sleep(self.patience.poll).await;
                }
            }
        };
        match copies::last_good_release(&self.paths) {
            Ok(release) => {
                tracing::warn!(
                    "the release on the share is not used ({share}); the last good copy, {}, is",
                    release.version
                );
                Ok(release)
            }
            Err(local) => Err(ExecuterError::NoRelease { share, local }),
        }
    }
}

#[cfg(test)]
mod tests;
