//! Service daemons of this host, by systemd. Their names are those of the management data
//! (paper, Fig. 4, 5th line).
//!
//! systemd is spoken to directly, by D-Bus over its own socket: `systemctl` would be half a second
//! of an emulated processor for each order, and a bus that is down would be in the way.

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use dbus::{Message, MessageType};
use tokio::time::timeout;

use wire::Wire;

mod wire;

/// Where systemd itself listens. Only root is let in.
const SOCKET: &str = "/run/systemd/private";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// Control groups of system services.
const SLICE: &str = "/sys/fs/cgroup/system.slice";

/// What systemd could not do.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// The job ended otherwise than done.
    #[error("systemd: {unit}: {verb}: {result}; see `systemctl status {unit}`")]
    Failed {
        /// What was ordered.
        verb: Verb,
        /// Of which unit.
        unit: String,
        /// systemd's own word, such as `failed`, `timeout`, `dependency`, `canceled`.
        result: String,
    },
    /// It took too long. systemd goes on with it.
    #[error("systemd: {units}: {verb}: not done after {} ms", within.as_millis())]
    Late {
        /// What was ordered.
        verb: Verb,
        /// Of which units.
        units: String,
        /// How long it had.
        within: Duration,
    },
    /// systemd cannot be reached, or broke off.
    #[error("systemd: {units}: {verb}: cannot be spoken to at {SOCKET}")]
    Lost {
        /// What was ordered.
        verb: Verb,
        /// Of which units.
        units: String,
        /// What the connection said.
        source: io::Error,
    },
    /// systemd did not take the order.
    #[error("systemd: {units}: {verb}: refused: {said}")]
    Refused {
        /// What was ordered.
        verb: Verb,
        /// Of which units.
        units: String,
        /// Its answer.
        said: String,
    },
}

/// An order to systemd.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Stop the unit if it runs, start it, and wait until it is up.
    Restart,
    /// Start the unit. Whoever starts a shutdown does not see its end.
    Start,
}

impl Verb {
    /// Method and mode of the manager's interface: whether the job replaces what is queued, and
    /// whether anything may replace it.
    fn call(self) -> (&'static str, &'static str) {
        match self {
            Self::Restart => ("RestartUnit", "replace"),
            Self::Start => ("StartUnit", "replace-irreversibly"),
        }
    }

    fn is_waited_for(self) -> bool {
        self == Self::Restart
    }
}

impl Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart",
            Self::Start => "start",
        })
    }
}

/// Restarts the daemons, all at once, and waits until systemd says that they are up.
///
/// # Errors
/// When systemd cannot be reached, or one does not come up in time.
pub async fn restart(daemons: &[impl Display], within: Duration) -> Result<(), SystemdError> {
    let units: Vec<String> = daemons.iter().map(|it| format!("{it}.service")).collect();
    order(Path::new(SOCKET), Verb::Restart, &units, within).await
}

/// Restarts this machine in good order. Returns when systemd has taken the job; the rest of the
/// shutdown ends this program too.
///
/// # Errors
/// When systemd cannot be reached, or does not take it in time.
pub async fn reboot(within: Duration) -> Result<(), SystemdError> {
    let units = ["reboot.target".to_owned()];
    order(Path::new(SOCKET), Verb::Start, &units, within).await
}

/// Whether the daemon has a process, by its control group: nobody need be asked. A hung one
/// counts as running: only an examination tells.
pub fn is_running(daemon: &impl Display) -> bool {
    has_process(Path::new(SLICE), daemon)
}

fn has_process(slice: &Path, daemon: &impl Display) -> bool {
    let processes = slice.join(format!("{daemon}.service/cgroup.procs"));
    fs::read_to_string(processes).is_ok_and(|found| !found.trim().is_empty())
}

async fn order(
    socket: &Path,
    verb: Verb,
    units: &[String],
    within: Duration,
) -> Result<(), SystemdError> {
    match timeout(within, ordered(socket, verb, units)).await {
        Ok(result) => result,
        Err(_) => Err(SystemdError::Late {
            verb,
            units: units.join(" "),
            within,
        }),
    }
}

async fn ordered(socket: &Path, verb: Verb, units: &[String]) -> Result<(), SystemdError> {
    let lost = |source| SystemdError::Lost {
        verb,
        units: units.join(" "),
        source,
    };
    let refused = |said: String| SystemdError::Refused {
        verb,
        units: units.join(" "),
        said,
    };
    let mut systemd = Wire::open(socket).await.map_err(lost)?;
    let (method, mode) = verb.call();
    for unit in units {
        let call = Message::new_method_call(SYSTEMD, OBJECT, MANAGER, method).map_err(refused)?;
        systemd.send(call.append2(unit, mode)).await.map_err(lost)?;
    }
    // On its own socket systemd tells every job's end unasked. One may end before its number is
    // told.
    let mut jobs: Vec<dbus::Path<'_>> = Vec::new();
    let mut ended = Vec::new();
    while jobs.len() < units.len() || verb.is_waited_for() && !all_ended(&jobs, &ended) {
        let mut message = systemd.receive().await.map_err(lost)?;
        match (message.msg_type(), message.member().as_deref()) {
            (MessageType::Signal, Some("JobRemoved")) => {
                let told: (u32, dbus::Path<'_>, String, String) = message
                    .read4()
                    .map_err(|error| refused(error.to_string()))?;
                ended.push(Ended {
                    job: told.1.into_static(),
                    unit: told.2,
                    result: told.3,
                });
            }
            (MessageType::Signal, _) => {}
            _ => {
                let answer = message
                    .as_result()
                    .map_err(|error| refused(error.to_string()))?;
                let job: dbus::Path<'_> =
                    answer.read1().map_err(|error| refused(error.to_string()))?;
                jobs.push(job.into_static());
            }
        }
    }
    let ours = |it: &Ended| jobs.contains(&it.job) && it.result != "done";
    match ended.into_iter().find(ours) {
        None => Ok(()),
        Some(Ended { unit, result, .. }) => Err(SystemdError::Failed { verb, unit, result }),
    }
}

/// A job's end, in systemd's words.
struct Ended {
    job: dbus::Path<'static>,
    unit: String,
    result: String,
}

fn all_ended(jobs: &[dbus::Path<'_>], ended: &[Ended]) -> bool {
    jobs.iter().all(|job| ended.iter().any(|it| it.job == *job))
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    use dbus::strings::{BusName, ErrorName};

    use super::*;
    use crate::observe::chain;

    /// A systemd whose units come up at once, each before its job's number is told, except
    /// `broken` that fails, `slow` that never ends and `unknown` that does not exist.
    fn serve(mut stream: UnixStream) -> io::Result<()> {
        welcome(&mut stream)?;
        let (mut serial, mut jobs) = (0, 0);
        let mut send = |mut message: Message| {
            serial += 1;
            message.set_serial(serial);
            // It gives its name, as on a bus.
            message.set_sender(Some(BusName::new(SYSTEMD).unwrap()));
            message.marshal(|part| (&stream).write_all(part))
        };
        loop {
            let call = receive(&stream)?;
            let (unit, mode): (String, String) = call.read2().unwrap();
            jobs += 1;
            let job = dbus::Path::new(format!("{OBJECT}/job/{jobs}")).unwrap();
            let other = dbus::Path::new(format!("{OBJECT}/job/99")).unwrap();
            let result = match (call.member().as_deref(), unit.as_str(), mode.as_str()) {
                (Some("RestartUnit"), "slow.service", "replace")
                | (Some("StartUnit"), "reboot.target", "replace-irreversibly") => None,
                (Some("RestartUnit"), "broken.service", "replace") => Some("failed"),
                (Some("RestartUnit"), "postfix.service" | "dovecot.service", "replace") => {
                    Some("done")
                }
                unknown => {
                    let said = CString::new(format!("no such unit: {unknown:?}")).unwrap();
                    send(call.error(&ErrorName::from("x.NoSuchUnit"), &said))?;
                    continue;
                }
            };
            for (job, result) in [(&other, Some("canceled")), (&job, result)] {
                if let Some(result) = result {
                    let told = Message::new_signal(OBJECT, MANAGER, "JobRemoved").unwrap();
                    send(told.append3(7_u32, job, &unit).append1(result))?;
                }
            }
            send(call.method_return().append1(job))?;
        }
    }

    /// Everything must come at once, and nothing behind it.
    fn welcome(stream: &mut UnixStream) -> io::Result<()> {
        let mut greeting = [0; 100];
        let length = stream.read(&mut greeting)?;
        assert!(greeting[..length].ends_with(b"BEGIN\r\n"), "{greeting:?}");
        stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")
    }

    fn receive(mut stream: &UnixStream) -> io::Result<Message> {
        let mut data = vec![0; 16];
        stream.read_exact(&mut data)?;
        data.resize(Message::demarshal_bytes_needed(&data).unwrap(), 0);
        stream.read_exact(&mut data[16..])?;
        Ok(Message::demarshal(&data).unwrap())
    }

    async fn told(verb: Verb, units: &[&str]) -> Result<(), String> {
        told_within(verb, units, Duration::from_secs(30)).await
    }

    async fn told_within(verb: Verb, units: &[&str], within: Duration) -> Result<(), String> {
        let room = tempfile::tempdir().unwrap();
        let socket = room.path().join("private");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0));
        let units: Vec<String> = units.iter().map(ToString::to_string).collect();
        let result = order(&socket, verb, &units, within).await;
        result.map_err(|error| chain(&error))
    }

    #[tokio::test]
    async fn a_restart_is_done_when_all_its_jobs_are() {
        let done = told(Verb::Restart, &["postfix.service", "dovecot.service"]).await;
        assert_eq!(done, Ok(()));
        let failed = told(Verb::Restart, &["postfix.service", "broken.service"]).await;
        assert_eq!(
            failed.unwrap_err(),
            "systemd: broken.service: restart: failed; see `systemctl status broken.service`"
        );
        let refused = told(Verb::Restart, &["unknown.service"]).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("no such unit"), "{refused}");
    }

    #[tokio::test]
    async fn a_reboot_is_ordered_and_not_waited_for() {
        assert_eq!(told(Verb::Start, &["reboot.target"]).await, Ok(()));
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_costs_its_deadline() {
        let units = &["postfix.service", "slow.service"];
        let late = told_within(Verb::Restart, units, Duration::from_millis(500)).await;
        assert_eq!(
            late.unwrap_err(),
            "systemd: postfix.service slow.service: restart: not done after 500 ms"
        );
    }

    #[tokio::test]
    async fn no_systemd_is_an_error_that_says_so() {
        let units = ["x.service".to_owned()];
        let nowhere = Path::new("/nonexistent/private");
        let error = order(nowhere, Verb::Restart, &units, Duration::from_secs(1)).await;
        let error = chain(&error.unwrap_err());
        assert!(
            error.starts_with("systemd: x.service: restart: cannot be spoken to"),
            "{error}"
        );
        assert!(error.contains("No such file"), "{error}");
    }

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
}
