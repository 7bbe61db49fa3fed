//! What a guest is asked to do, through QEMU's guest agent.
//!
//! The agent runs the small shell scripts of `script.rs` while a guest is prepared. One that was resumed gets its
//! orders through pipes on which programs of it wait already, since to start one takes it seconds on a busy host.
//! Starting a program in the guest and learning how it ended are two commands, so every question
//! is asked until its deadline: an agent that has just been resumed may miss the first ones, which libvirt
//! finds by a question of its own. One that took a command and is slow to answer is not asked again: on a
//! busy host that would be the same work twice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::VmError;
use super::script::{self, ADDRESS_ORDERS, VipOf};

/// A channel to the agent of one guest.
pub(super) trait Agent {
    fn vm(&self) -> &str;
    /// Sends one command, returns its answer or what went wrong.
    fn ask(&self, command: &str, within: Duration) -> Result<String, String>;
}

/// First and longest pause between two questions whether a script has ended.
const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(250);
/// Pause after a question that the agent did not take.
const RETRY: Duration = Duration::from_millis(400);
/// The same while its machine boots: libvirt logs each question that nobody takes.
const RETRY_BOOT: Duration = Duration::from_secs(2);

/// Waits until the agent answers.
pub(super) fn wait(agent: &dyn Agent, within: Duration) -> Result<(), VmError> {
    let until = Instant::now() + within;
    let command = json!({ "execute": "guest-ping" }).to_string();
    insist(
        agent,
        "wait for the guest agent",
        &command,
        (until, within),
        RETRY_BOOT,
    )
    .map(drop)
}

/// Runs a script in the guest; returns what it wrote.
pub(super) fn run(
    agent: &dyn Agent,
    doing: &'static str,
    script: &str,
    within: Duration,
) -> Result<String, VmError> {
    match exec(agent, doing, script, within)? {
        Ended { status: 0, said } => Ok(said),
        Ended { status, said } => Err(VmError::Guest {
            doing,
            vm: agent.vm().to_owned(),
            reason: format!("exit status {status}: {}", said.trim()),
        }),
    }
}

/// Gives the guest the virtual address.
pub(super) fn set(agent: &dyn Agent, address: &VipOf<'_>, within: Duration) -> Result<(), VmError> {
    let doing = "set the virtual address";
    let until = Instant::now() + within;
    order_until(
        agent,
        doing,
        ADDRESS_ORDERS,
        &address.set_order(),
        (until, within),
    )?;
    let last = "the address is not there";
    poll(agent, doing, (until, within), last, || {
        Ok(has(agent, doing, address, (until, within))?.then_some(()))
    })
}

/// Prolongs the virtual address in the guest.
pub(super) fn renew(
    agent: &dyn Agent,
    address: &VipOf<'_>,
    within: Duration,
) -> Result<(), VmError> {
    let doing = "renew the virtual address";
    let limits = (Instant::now() + within, within);
    if !has(agent, doing, address, limits)? {
        return Err(VmError::Lapsed {
            vm: agent.vm().to_owned(),
        });
    }
    order_until(agent, doing, ADDRESS_ORDERS, &address.renew_order(), limits)
}

/// Hands an order to the program that waits for it at `pipe`, and does not wait for what it does.
pub(super) fn order(
    agent: &dyn Agent,
    doing: &'static str,
    pipe: &str,
    text: &str,
    within: Duration,
) -> Result<(), VmError> {
    order_until(agent, doing, pipe, text, (Instant::now() + within, within))
}

fn order_until(
    agent: &dyn Agent,
    doing: &'static str,
    pipe: &str,
    text: &str,
    limits: (Instant, Duration),
) -> Result<(), VmError> {
    let handle = open(agent, doing, pipe, limits)?;
    let text = STANDARD.encode(format!("{text}\n"));
    let write = json!({
        "execute": "guest-file-write",
        "arguments": { "handle": handle, "buf-b64": text },
    });
    insist(agent, doing, &write.to_string(), limits, RETRY)?;
    // Which also sends it on its way.
    let close = json!({ "execute": "guest-file-close", "arguments": { "handle": handle } });
    insist(agent, doing, &close.to_string(), limits, RETRY).map(drop)
}

/// Opens a pipe in the guest; gives the agent's number for it.
fn open(
    agent: &dyn Agent,
    doing: &'static str,
    pipe: &str,
    (until, within): (Instant, Duration),
) -> Result<i64, VmError> {
    let command = json!({
        "execute": "guest-file-open",
        "arguments": { "path": pipe, "mode": "r+" },
    });
    let command = command.to_string();
    let left = || until.saturating_duration_since(Instant::now());
    let mut answer = agent.ask(&command, left());
    if answer
        .as_ref()
        .is_err_and(|reason| reason.contains("No such file"))
    {
        // A state from before there were such programs in it.
        run(agent, doing, &script::residents_script(), left())?;
        answer = agent.ask(&command, left());
    }
    let answer = answer.or_else(|_| insist(agent, doing, &command, (until, within), RETRY))?;
    returned(&answer).map_err(|reason| bad(agent, doing, reason))
}

/// Whether the guest has the virtual address.
fn has(
    agent: &dyn Agent,
    doing: &'static str,
    address: &VipOf<'_>,
    limits: (Instant, Duration),
) -> Result<bool, VmError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Interface {
        #[serde(default)]
        ip_addresses: Vec<Address>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Address {
        ip_address: String,
    }
    let command = json!({ "execute": "guest-network-get-interfaces" }).to_string();
    let answer = insist(agent, doing, &command, limits, RETRY)?;
    let all: Vec<Interface> = returned(&answer).map_err(|reason| bad(agent, doing, reason))?;
    let vip = address.vip.to_string();
    let mut addresses = all.iter().flat_map(|of| &of.ip_addresses);
    Ok(addresses.any(|of| of.ip_address == vip))
}

/// How a script ended and what it wrote.
struct Ended {
    status: i64,
    said: String,
}

fn exec(
    agent: &dyn Agent,
    doing: &'static str,
    script: &str,
    within: Duration,
) -> Result<Ended, VmError> {
    let until = Instant::now() + within;
    let pid = start(agent, doing, script, (until, within))?;
    let status = json!({ "execute": "guest-exec-status", "arguments": { "pid": pid } }).to_string();
    let limits = (until, within);
    poll(agent, doing, limits, "the script still runs", || {
        let answer = insist(agent, doing, &status, limits, RETRY)?;
        ended(&answer).map_err(|reason| bad(agent, doing, reason))
    })
}

/// Looks again and again, less and less often, until there is something.
fn poll<T>(
    agent: &dyn Agent,
    doing: &'static str,
    (until, within): (Instant, Duration),
    last: &str,
    mut look: impl FnMut() -> Result<Option<T>, VmError>,
) -> Result<T, VmError> {
    let mut pause = POLL_MIN;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(late(agent, doing, within, last.to_owned()));
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(POLL_MAX);
    }
}

/// Starts a script; returns its process id in the guest.
fn start(
    agent: &dyn Agent,
    doing: &'static str,
    script: &str,
    (until, within): (Instant, Duration),
) -> Result<i64, VmError> {
    #[derive(Deserialize)]
    struct Started {
        pid: i64,
    }
    let command = json!({
        "execute": "guest-exec",
        "arguments": { "path": "/bin/sh", "arg": ["-c", script], "capture-output": true },
    });
    let answer = insist(agent, doing, &command.to_string(), (until, within), RETRY)?;
    let Started { pid } = returned(&answer).map_err(|reason| bad(agent, doing, reason))?;
    Ok(pid)
}

fn bad(agent: &dyn Agent, doing: &'static str, reason: String) -> VmError {
    VmError::Guest {
        doing,
        vm: agent.vm().to_owned(),
        reason,
    }
}

fn late(agent: &dyn Agent, doing: &'static str, within: Duration, last: String) -> VmError {
    VmError::GuestLate {
        doing,
        vm: agent.vm().to_owned(),
        within,
        last,
    }
}

/// Asks until there is an answer.
fn insist(
    agent: &dyn Agent,
    doing: &'static str,
    command: &str,
    (until, within): (Instant, Duration),
    pause: Duration,
) -> Result<String, VmError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match agent.ask(command, left) {
            Ok(answer) => return Ok(answer),
            Err(last) if Instant::now() + pause >= until => {
                return Err(late(agent, doing, within, last));
            }
            Err(_) => sleep(pause),
        }
    }
}

fn returned<T: for<'de> Deserialize<'de>>(answer: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Answer<T> {
        r#return: T,
    }
    serde_json::from_str::<Answer<T>>(answer)
        .map(|answer| answer.r#return)
        .map_err(|error| format!("the guest agent answered `{answer}`: {error}"))
}

/// Reads the status of a script; none while it runs.
fn ended(answer: &str) -> Result<Option<Ended>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Status {
        exited: bool,
        exitcode: Option<i64>,
        signal: Option<i64>,
        #[serde(default)]
        out_data: String,
        #[serde(default)]
        err_data: String,
    }
    let status: Status = returned(answer)?;
    if !status.exited {
        return Ok(None);
    }
    let mut said = String::new();
    for data in [&status.out_data, &status.err_data] {
        let bytes = STANDARD.decode(data);
        let bytes = bytes.map_err(|error| format!("what the script wrote: {error}"))?;
        said.push_str(&String::from_utf8_lossy(&bytes));
    }
    // As the shell does for a signal.
    let signal = status.signal.map_or(-1, |signal| 128 + signal);
    Ok(Some(Ended {
        status: status.exitcode.unwrap_or(signal),
        said,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Gives prepared answers and keeps the commands.
    struct Script {
        answers: RefCell<Vec<Result<&'static str, &'static str>>>,
        asked: RefCell<Vec<String>>,
    }

    impl Script {
        fn new(answers: &[Result<&'static str, &'static str>]) -> Self {
            let answers = answers.iter().rev().copied().collect();
            Self {
                answers: RefCell::new(answers),
                asked: RefCell::default(),
            }
        }
    }

    impl Agent for Script {
        fn vm(&self) -> &str {
            "ftpb"
        }

        fn ask(&self, command: &str, _within: Duration) -> Result<String, String> {
            self.asked.borrow_mut().push(command.to_owned());
            match self.answers.borrow_mut().pop() {
                Some(Ok(answer)) => Ok(answer.into()),
                Some(Err(error)) => Err(error.into()),
                None => Err("Guest agent is not responding".into()),
            }
        }
    }

    const WITHIN: Duration = Duration::from_millis(600);
    const STARTED: Result<&str, &str> = Ok(r#"{"return":{"pid":7}}"#);
    const RUNNING: Result<&str, &str> = Ok(r#"{"return":{"exited":false}}"#);
    const DONE: Result<&str, &str> =
        Ok(r#"{"return":{"exited":true,"exitcode":0,"out-data":"b2sK"}}"#);

    #[test]
    fn a_script_runs_to_its_end_in_a_guest_that_wakes_up() {
        let agent = Script::new(&[Err("not connected"), STARTED, RUNNING, RUNNING, DONE]);
        assert_eq!(run(&agent, "try", "echo ok", WITHIN).unwrap(), "ok\n");
        insta::assert_snapshot!(agent.asked.borrow().join("\n"), @r#"
        {"arguments":{"arg":["-c","echo ok"],"capture-output":true,"path":"/bin/sh"},"execute":"guest-exec"}
        {"arguments":{"arg":["-c","echo ok"],"capture-output":true,"path":"/bin/sh"},"execute":"guest-exec"}
        {"arguments":{"pid":7},"execute":"guest-exec-status"}
        {"arguments":{"pid":7},"execute":"guest-exec-status"}
        {"arguments":{"pid":7},"execute":"guest-exec-status"}
        "#);
    }

    #[test]
    fn what_fails_in_the_guest_is_told() {
        let failed = Ok(r#"{"return":{"exited":true,"exitcode":2,"err-data":"bm8gZXRoMAo="}}"#);
        let error = run(
            &Script::new(&[STARTED, failed]),
            "set the address",
            "x",
            WITHIN,
        );
        insta::assert_snapshot!(error.unwrap_err(), @"set the address in ftpb: exit status 2: no eth0");
        let error = wait(&Script::new(&[]), WITHIN).unwrap_err();
        insta::assert_snapshot!(error, @"wait for the guest agent in ftpb: not done within 600 ms: Guest agent is not responding");
        let error = run(&Script::new(&[Ok("{}")]), "try", "x", WITHIN).unwrap_err();
        insta::assert_snapshot!(error, @"try in ftpb: the guest agent answered `{}`: missing field `return` at line 1 column 2");
    }

    const VIP: VipOf<'static> = VipOf {
        vip: std::net::Ipv4Addr::new(172, 21, 14, 203),
        device: "eth0",
        valid: Duration::from_secs(14),
    };

    const OPENED: Result<&str, &str> = Ok(r#"{"return":1000}"#);
    const WRITTEN: Result<&str, &str> = Ok(r#"{"return":{"count":82,"eof":false}}"#);
    const CLOSED: Result<&str, &str> = Ok(r#"{"return":{}}"#);
    const WITHOUT: Result<&str, &str> = Ok(
        r#"{"return":[{"name":"lo","ip-addresses":[{"ip-address-type":"ipv4","ip-address":"127.0.0.1","prefix":8}]},{"name":"eth0"}]}"#,
    );
    const WITH: Result<&str, &str> = Ok(
        r#"{"return":[{"name":"eth0","ip-addresses":[{"ip-address":"172.21.14.103"},{"ip-address":"172.21.14.203"}]}]}"#,
    );

    #[test]
    fn an_address_is_set_without_a_program_being_started() {
        let agent = Script::new(&[OPENED, WRITTEN, CLOSED, WITHOUT, WITH]);
        set(&agent, &VIP, WITHIN).unwrap();
        insta::assert_snapshot!(agent.asked.borrow().join("\n"), @r#"
        {"arguments":{"mode":"r+","path":"/run/ringward/address"},"execute":"guest-file-open"}
        {"arguments":{"buf-b64":"YWRkcmVzcyByZXBsYWNlIDE3Mi4yMS4xNC4yMDMvMzIgZGV2IGV0aDAgdmFsaWRfbGZ0IDE0IHByZWZlcnJlZF9sZnQgMTQK","handle":1000},"execute":"guest-file-write"}
        {"arguments":{"handle":1000},"execute":"guest-file-close"}
        {"execute":"guest-network-get-interfaces"}
        {"execute":"guest-network-get-interfaces"}
        "#);
        let error = set(&Script::new(&[OPENED, WRITTEN, CLOSED]), &VIP, WITHIN).unwrap_err();
        insta::assert_snapshot!(error, @"set the virtual address in ftpb: not done within 600 ms: Guest agent is not responding");
    }

    #[test]
    fn a_guest_whose_programs_do_not_wait_gets_them() {
        let missing = Err("failed to open file '/run/ringward/wake': No such file or directory");
        let agent = Script::new(&[missing, STARTED, DONE, OPENED, WRITTEN, CLOSED]);
        order(&agent, "wake", script::WAKE_ORDERS, "date", WITHIN).unwrap();
        let asked = agent.asked.borrow();
        assert!(
            asked[1].contains("mkfifo") && asked[0] == asked[3],
            "{asked:?}"
        );
    }

    #[test]
    fn a_lapsed_address_is_told_apart() {
        let error = renew(&Script::new(&[WITHOUT]), &VIP, WITHIN).unwrap_err();
        assert!(matches!(error, VmError::Lapsed { .. }), "{error}");
        renew(&Script::new(&[WITH, OPENED, WRITTEN, CLOSED]), &VIP, WITHIN).unwrap();
    }
}
