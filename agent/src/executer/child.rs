//! The node as a child process.
//!
//! It holds the reading end of a pipe as its standard input; when that pipe closes, because the
//! executer wants it to stop or is gone itself, the node stops in good order.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::copies::Release;
use crate::site::Paths;

/// Time for the node to give up its VIP and its VMs.
const GRACE: Duration = Duration::from_secs(8);
/// The first pause after a node that ended by itself; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_LIMIT: Duration = Duration::from_secs(60);
/// A node that ran this long had started well.
const GOOD_RUN: Duration = Duration::from_secs(60);

pub(super) struct Node {
    child: Child,
    since: Instant,
}

impl Node {
    pub(super) fn start(release: &Release, paths: &Paths) -> io::Result<Self> {
        let child = Command::new(&release.binary)
            .args(["node", "--supervised", "--site"])
            .arg(&paths.site)
            .arg("--state")
            .arg(&paths.state)
            .arg("--share")
            .arg(&paths.share)
            .arg("--run")
            .arg(&paths.run)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            since: Instant::now(),
        })
    }

    /// Waits for the end of the node. Safe to cancel.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        // Taken here and given back: `wait` would close the pipe that keeps the node running.
        let pipe = self.child.stdin.take();
        let guard = Pipe {
            child: &mut self.child,
            pipe,
        };
        guard.child.wait().await
    }

    pub(super) fn ran(&self) -> Duration {
        self.since.elapsed()
    }

    /// Stops the node in good order, or kills it when it does not stop.
    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        match timeout(GRACE, self.child.wait()).await {
            Ok(Ok(status)) => tracing::info!("node stopped: {status}"),
            Ok(Err(error)) => tracing::warn!("wait for the node: {error}"),
            Err(_) => {
                tracing::warn!(
                    "node did not stop within {} s and is killed",
                    GRACE.as_secs()
                );
                if let Err(error) = self.child.kill().await {
                    tracing::error!("kill the node: {error}");
                }
            }
        }
    }
}

/// Gives the pipe back to its child.
struct Pipe<'a> {
    child: &'a mut Child,
    pipe: Option<tokio::process::ChildStdin>,
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.child.stdin = self.pipe.take();
    }
}

/// How long to wait before the next start.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    not_before: Option<Instant>,
}

impl BackOff {
    /// Whether a start is due.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    /// Notes a start that failed, or a node that ended after `ran`; returns the pause.
    pub(super) fn failed(&mut self, now: Instant, ran: Duration) -> Duration {
        if ran >= GOOD_RUN {
            self.failures = 0;
        }
        let pause = (PAUSE * 2u32.pow(self.failures.min(6))).min(PAUSE_LIMIT);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_a_good_run_resets_them() {
        let mut back_off = BackOff::default();
        let now = Instant::now();
        assert!(back_off.is_over(now));
        let mut pause = |ran| back_off.failed(now, Duration::from_secs(ran)).as_secs();
        let pauses: Vec<_> = (0..9).map(|_| pause(2)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(61), 1);
        assert!(!back_off.is_over(now));
        assert!(back_off.is_over(now + Duration::from_secs(1)));
    }
}
