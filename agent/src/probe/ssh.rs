//! SSH: log in with the probe's key and run `true`. Homes are on file server 2.
//!
//! OpenSSH's client does the work in a child that is killed at the deadline. The server's host key
//! is not checked: the backup VM that answers at the same address has another one, and nothing of
//! value is sent.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::dialogue::Deadline;
use super::{Accounts, ProbeError};

const PROGRAM: &str = "ssh";
const STEP: &str = "SSH login";
const EXPECTED: &str = "exit status 0 of `true`";

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    login(Path::new(PROGRAM), addr, accounts, deadline).await
}

async fn login(
    program: &Path,
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    let child = Command::new(program)
        .args(arguments(addr, accounts, deadline.connect_within()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| ProbeError::Examiner {
            step: STEP,
            reason: format!("cannot start `{}`: {error}", program.display()),
        })?;
    let output = deadline
        .run(STEP, EXPECTED, child.wait_with_output())
        .await?;
    judge(&output, deadline.within())
}

fn arguments(addr: SocketAddr, accounts: &Accounts, connect_within: Duration) -> Vec<String> {
    let mut arguments: Vec<String> = ["-F", "/dev/null", "-T", "-n"].map(String::from).into();
    // Whole seconds only; our own deadline is the sharp one.
    let connect_timeout = format!("ConnectTimeout={}", connect_within.as_secs().max(1));
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "PreferredAuthentications=publickey",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        // The quickest first: nothing secret is said here.
        "KexAlgorithms=^curve25519-sha256",
        &connect_timeout,
    ] {
        arguments.extend(["-o".into(), option.into()]);
    }
    arguments.extend(["-i".into(), accounts.ssh_key.display().to_string()]);
    arguments.extend(["-p".into(), addr.port().to_string()]);
    arguments.extend(["-l".into(), accounts.settings.user.clone()]);
    arguments.extend([addr.ip().to_string(), "true".into()]);
    arguments
}

/// What the client's exit status and last words mean.
fn judge(output: &Output, within: Duration) -> Result<(), ProbeError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let has = |words: &str| said.contains(words);
    Err(if has("Connection refused") {
        ProbeError::Refused { step: STEP }
    } else if has("timed out") {
        ProbeError::NoAnswer { step: STEP, within }
    } else if has("No route to host") {
        ProbeError::Unreachable { step: STEP }
    } else if has("Network is unreachable") || has("Load key") || has("Identity file") {
        ProbeError::Examiner {
            step: STEP,
            reason: said.trim().to_owned(),
        }
    } else if has("Connection closed") || has("Connection reset") {
        ProbeError::Closed {
            step: STEP,
            expected: EXPECTED,
        }
    } else if said.trim().is_empty() {
        ProbeError::unexpected(STEP, EXPECTED, output.status.to_string().as_bytes())
    } else {
        let last = said
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        ProbeError::unexpected(STEP, EXPECTED, last.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{accounts, ample, short};
    use std::os::unix::process::ExitStatusExt;
    use std::path::PathBuf;
    use std::process::ExitStatus;

    fn addr() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 22))
    }

    fn ended(status: i32, stderr: &str) -> Result<(), ProbeError> {
        let status = ExitStatus::from_raw(status << 8);
        judge(
            &Output {
                status,
                stdout: vec![],
                stderr: stderr.into(),
            },
            ample(),
        )
    }

    #[test]
    fn last_words_of_the_client() {
        assert_eq!(ended(0, ""), Ok(()));
        let refused = ended(
            255,
            "ssh: connect to host x port 22: Connection refused\r\n",
        );
        assert_eq!(refused, Err(ProbeError::Refused { step: STEP }));
        let denied = ended(255, "probe@x: Permission denied (publickey).\r\n").unwrap_err();
        insta::assert_snapshot!(denied, @"SSH login: expected exit status 0 of `true`, got `probe@x: Permission denied (publickey).`");
        let shell = ended(1, "").unwrap_err();
        insta::assert_snapshot!(shell, @"SSH login: expected exit status 0 of `true`, got `exit status: 1`");
        let key = ended(
            255,
            "Load key \"/none\": No such file or directory\r\nDenied",
        )
        .unwrap_err();
        assert!(key.is_examiners_own());
    }

    #[test]
    fn arguments_never_ask_and_never_learn_hosts() {
        insta::assert_snapshot!(arguments(addr(), &accounts(), Duration::from_millis(2500)).join(" "), @"-F /dev/null -T -n -o BatchMode=yes -o IdentitiesOnly=yes -o PreferredAuthentications=publickey -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR -o KexAlgorithms=^curve25519-sha256 -o ConnectTimeout=2 -i /etc/ringward/probe.key -p 22 -l probe 127.0.0.1 true");
    }

    #[tokio::test]
    async fn a_client_that_hangs_is_killed_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let hang = stub(
            &dir,
            &format!("echo $$ > {}; exec sleep 60", pid_file.display()),
        );
        let within = Duration::from_millis(1000);
        let error = login(&hang, addr(), &accounts(), Deadline::new(within))
            .await
            .unwrap_err();
        assert_eq!(error, ProbeError::NoAnswer { step: STEP, within });
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        let state = format!("/proc/{}/stat", pid.trim());
        for _ in 0..100 {
            // Killed means gone, or a zombie that the runtime has yet to reap.
            match std::fs::read_to_string(&state) {
                Ok(stat) if !stat.contains(") Z ") => tokio::time::sleep(short() / 5).await,
                _ => return,
            }
        }
        panic!("the client still runs");
    }

    #[tokio::test]
    async fn no_client_installed_is_our_own_trouble() {
        let none = PathBuf::from("/nonexistent/ssh");
        let error = login(&none, addr(), &accounts(), Deadline::new(short()))
            .await
            .unwrap_err();
        assert!(error.is_examiners_own());
    }

    fn stub(dir: &tempfile::TempDir, body: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join("ssh");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}
