//! Service daemons of this host, by `systemctl`. Their names are those of the management data
//! (paper, Fig. 4, 5th line).

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Control groups of system services.
const SLICE: &str = "/sys/fs/cgroup/system.slice";

/// What systemd could not do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// systemd refused, or the daemon did not come up.
    #[error("`systemctl {command}` failed: {said}; see `systemctl status` of that unit")]
    Failed {
        /// The arguments of `systemctl`.
        command: String,
        /// Its last words.
        said: String,
    },
    /// It took too long. systemd goes on with it.
    #[error("`systemctl {command}` is not done after {} ms", within.as_millis())]
    Late {
        /// The arguments of `systemctl`.
        command: String,
        /// How long it had.
        within: Duration,
    },
    /// `systemctl` itself could not be run.
    #[error("cannot run `systemctl {command}`")]
    Run {
        /// The arguments of `systemctl`.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Restarts the daemons, all in one job, and waits until systemd says that they are up.
///
/// # Errors
/// When one does not come up in time.
pub async fn restart(daemons: &[impl Display], within: Duration) -> Result<(), ServiceError> {
    checked("restart", daemons, within).await
}

/// Stops the daemons and waits until they are down.
///
/// # Errors
/// When one is not down in time.
pub async fn stop(daemons: &[impl Display], within: Duration) -> Result<(), ServiceError> {
    checked("stop", daemons, within).await
}

/// Whether the daemon has a process, by its control group: asking systemd would start a program
/// each time. A hung one counts as running: only an examination tells.
pub fn is_running(daemon: &impl Display) -> bool {
    has_process(Path::new(SLICE), daemon)
}

fn has_process(slice: &Path, daemon: &impl Display) -> bool {
    let processes = slice.join(format!("{daemon}.service/cgroup.procs"));
    fs::read_to_string(processes).is_ok_and(|found| !found.trim().is_empty())
}

async fn checked(
    verb: &str,
    daemons: &[impl Display],
    within: Duration,
) -> Result<(), ServiceError> {
    let names = daemons.iter().map(ToString::to_string);
    let arguments: Vec<String> = std::iter::once(verb.into()).chain(names).collect();
    let output = systemctl(&arguments, within).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it said nothing").to_owned();
    Err(ServiceError::Failed {
        command: arguments.join(" "),
        said,
    })
}

pub(super) async fn systemctl(
    arguments: &[String],
    within: Duration,
) -> Result<Output, ServiceError> {
    run("systemctl", arguments, within).await
}

async fn run(
    program: &str,
    arguments: &[String],
    within: Duration,
) -> Result<Output, ServiceError> {
    let command = arguments.join(" ");
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match timeout(within, child).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(ServiceError::Run { command, source }),
        Err(_) => Err(ServiceError::Late { command, within }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_runs_while_its_group_has_a_process() {
        let slice = tempfile::tempdir().unwrap();
        let running = || has_process(slice.path(), &"vsftpd");
        assert!(!running());
        let group = slice.path().join("vsftpd.service");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "").unwrap();
        assert!(!running());
        fs::write(group.join("cgroup.procs"), "246\n").unwrap();
        assert!(running());
    }

    #[tokio::test]
    async fn a_command_that_hangs_costs_its_deadline() {
        let within = Duration::from_millis(100);
        let error = run("sleep", &["60".into()], within).await.unwrap_err();
        assert!(matches!(error, ServiceError::Late { .. }), "{error}");
        let error = run(
            "/nonexistent/systemctl",
            &["stop".into(), "x".into()],
            within,
        )
        .await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot run `systemctl stop x`"
        );
    }
}
