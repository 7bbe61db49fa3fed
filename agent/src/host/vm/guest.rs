//! What a guest is asked to do, through QEMU's guest agent.
//!
//! The agent runs small shell scripts; they are built and their answers read by pure functions.
//! Starting a program in the guest and learning how it ended are two commands, so every question
//! is asked until its deadline: an agent that has just been resumed may miss the first ones.

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;

use super::VmError;

/// A channel to the agent of one guest.
pub(super) trait Agent {
    fn vm(&self) -> &str;
    /// Sends one command, returns its answer or what went wrong.
    fn ask(&self, command: &str, within: Duration) -> Result<String, String>;
}

/// The exit status by which a script says that the virtual address is gone.
const LAPSED: i64 = 77;
/// How long one command to the agent may take; libvirt counts whole seconds.
const ASK: Duration = Duration::from_secs(5);
/// First and longest pause between two questions whether a script has ended.
const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(250);
/// Pause after a question that the agent did not take.
const RETRY: Duration = Duration::from_millis(400);

/// Waits until the agent answers.
pub(super) fn wait(agent: &dyn Agent, within: Duration) -> Result<(), VmError> {
    let until = Instant::now() + within;
    let command = json!({ "execute": "guest-ping" }).to_string();
    insist(agent, "wait for the guest agent", &command, until, within).map(drop)
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

/// Prolongs the virtual address in the guest.
pub(super) fn renew(
    agent: &dyn Agent,
    address: &VipOf<'_>,
    within: Duration,
) -> Result<(), VmError> {
    let doing = "renew the virtual address";
    match exec(agent, doing, &address.renew_script(), within)? {
        Ended { status: 0, .. } => Ok(()),
        Ended { status: LAPSED, .. } => Err(VmError::Lapsed {
            vm: agent.vm().to_owned(),
        }),
        Ended { status, said } => Err(VmError::Guest {
            doing,
            vm: agent.vm().to_owned(),
            reason: format!("exit status {status}: {}", said.trim()),
        }),
    }
}

/// A virtual address in a guest.
pub(super) struct VipOf<'a> {
    pub(super) vip: Ipv4Addr,
    pub(super) device: &'a str,
    pub(super) valid: Duration,
}

impl VipOf<'_> {
    /// Sets the address, and without waiting for it the clock and random numbers, which all resumed
    /// copies of a state share.
    pub(super) fn wake_script(&self, now: SystemTime, seed: &str) -> String {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (now.as_secs(), now.subsec_millis());
        format!(
            "{set} && {{ {{ date -u -s @{seconds}.{millis:03}; printf %s {seed} >/dev/urandom; }} \
             >/dev/null 2>&1 & }}",
            set = self.set("replace"),
        )
    }

    /// The kernel adds an address that is to be changed and is not there, so look first.
    fn renew_script(&self) -> String {
        let Self { vip, device, .. } = self;
        format!(
            "[ -n \"$(ip -4 -o address show dev {device} to {vip})\" ] || exit {LAPSED}; {set}",
            set = self.set("change"),
        )
    }

    fn set(&self, verb: &str) -> String {
        let Self { vip, device, valid } = self;
        let seconds = (valid.as_secs() + u64::from(valid.subsec_nanos() > 0)).max(1);
        format!(
            "ip address {verb} {vip}/32 dev {device} valid_lft {seconds} preferred_lft {seconds}"
        )
    }
}

/// Gives a guest that has just booted its own address and the names of the cluster. The agent may
/// answer before the kernel has found the network device.
pub(super) fn settle_in_script(ipv: Ipv4Addr, prefix: u8, device: &str, hosts: &str) -> String {
    let hosts = hosts.replace('\'', "");
    format!(
        "tries=0; until [ -e /sys/class/net/{device} ] || [ $tries = 150 ]; do \
         tries=$((tries + 1)); sleep 0.2; done; \
         ip link set {device} up && ip address replace {ipv}/{prefix} dev {device} && \
         rm -f /etc/hosts && printf %s '{hosts}' >/etc/hosts"
    )
}

/// Makes for a small state that does not wait for its disk when it is resumed: empties the caches,
/// clears the free memory (zeroes are not saved), and fills the caches again with what a resumption
/// needs. The services' part of that comes with the examination before the state is saved.
pub(super) fn rehearse_script(now: SystemTime) -> String {
    // The kernel needs some of the free memory to work with.
    const CLEAR: &str = "sync; echo 3 >/proc/sys/vm/drop_caches; \
        while read -r key kb rest; do [ $key != MemFree: ] || break; done </proc/meminfo; \
        mount -t tmpfs -o size=100% zero /mnt && \
        { head -c $((kb - kb / 8 - 8192))K /dev/zero >/mnt/zero; umount /mnt; }";
    let vip = VipOf {
        vip: Ipv4Addr::new(127, 0, 0, 2),
        device: "lo",
        valid: Duration::from_secs(3600),
    };
    let (wake, renew) = (vip.wake_script(now, "rehearsal"), vip.renew_script());
    format!("{CLEAR}; {wake} && {renew} && ip address del 127.0.0.2/32 dev lo")
}

/// Removes what must not be in a golden state: file systems of file server 2, whose sessions would
/// be stale, and the hardware addresses of neighbours.
pub(super) fn before_saving_script() -> &'static str {
    "for try in 1 2 3 4 5 6 7 8; do umount -a -t nfs,nfs4 && break; sleep 0.5; done; \
     while read -r what where type rest; do case $type in nfs|nfs4) \
     echo \"$where is still in use\"; exit 1;; esac; done </proc/mounts; \
     ip neigh flush all; sync"
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
    #[derive(Deserialize)]
    struct Started {
        pid: i64,
    }
    let until = Instant::now() + within;
    let bad = |reason: String| VmError::Guest {
        doing,
        vm: agent.vm().to_owned(),
        reason,
    };
    let command = json!({
        "execute": "guest-exec",
        "arguments": { "path": "/bin/sh", "arg": ["-c", script], "capture-output": true },
    });
    let answer = insist(agent, doing, &command.to_string(), until, within)?;
    let Started { pid } = returned(&answer).map_err(bad)?;
    let status = json!({ "execute": "guest-exec-status", "arguments": { "pid": pid } }).to_string();
    let mut pause = POLL_MIN;
    loop {
        let answer = insist(agent, doing, &status, until, within)?;
        if let Some(ended) = ended(&answer).map_err(bad)? {
            return Ok(ended);
        }
        if Instant::now() >= until {
            return Err(VmError::GuestLate {
                doing,
                vm: agent.vm().to_owned(),
                within,
                last: "the script still runs".into(),
            });
        }
        sleep(pause);
        pause = (pause * 3 / 2).min(POLL_MAX);
    }
}

/// Asks until there is an answer.
fn insist(
    agent: &dyn Agent,
    doing: &'static str,
    command: &str,
    until: Instant,
    within: Duration,
) -> Result<String, VmError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match agent.ask(command, left.min(ASK)) {
            Ok(answer) => return Ok(answer),
            Err(last) if Instant::now() + RETRY >= until => {
                return Err(VmError::GuestLate {
                    doing,
                    vm: agent.vm().to_owned(),
                    within,
                    last,
                });
            }
            Err(_) => sleep(RETRY),
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
    let mut said = decode(&status.out_data);
    said.push_str(&decode(&status.err_data));
    // As the shell does for a signal.
    let signal = status.signal.map_or(-1, |signal| 128 + signal);
    Ok(Some(Ended {
        status: status.exitcode.unwrap_or(signal),
        said,
    }))
}

/// Base64 to text; what is no base64 is skipped.
fn decode(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text
        .bytes()
        .filter_map(|c| DIGITS.iter().position(|&digit| digit == c))
    {
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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

    fn vip() -> VipOf<'static> {
        let vip = Ipv4Addr::new(172, 21, 14, 203);
        VipOf {
            vip,
            device: "eth0",
            valid: Duration::from_millis(13_500),
        }
    }

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

    #[test]
    fn a_lapsed_address_is_told_apart() {
        let lapsed = Ok(r#"{"return":{"exited":true,"exitcode":77}}"#);
        let error = renew(&Script::new(&[STARTED, lapsed]), &vip(), WITHIN).unwrap_err();
        assert!(matches!(error, VmError::Lapsed { .. }), "{error}");
        renew(&Script::new(&[STARTED, DONE]), &vip(), WITHIN).unwrap();
    }

    #[test]
    fn scripts() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_042);
        insta::assert_snapshot!("wake", vip().wake_script(now, "f00d"));
        insta::assert_snapshot!(vip().renew_script(), @r#"[ -n "$(ip -4 -o address show dev eth0 to 172.21.14.203)" ] || exit 77; ip address change 172.21.14.203/32 dev eth0 valid_lft 14 preferred_lft 14"#);
        let ipv = Ipv4Addr::new(172, 21, 14, 103);
        insta::assert_snapshot!(
            "settle_in",
            settle_in_script(ipv, 24, "eth0", "1.2.3.4 file2")
        );
        insta::assert_snapshot!("rehearse", rehearse_script(now));
    }

    #[test]
    fn base64() {
        for (text, plain) in [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc")] {
            assert_eq!(decode(text), plain);
        }
    }
}
