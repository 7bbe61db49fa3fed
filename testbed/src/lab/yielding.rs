//! Who gives way to whom when machines want more processor than there is.
//!
//! Real machines each have their own. Here a boot takes a whole processor for half a minute, two of them
//! take what all others need, and what is late then looks like a failure. So servers give way to the file
//! servers and the client, which have little to do and whose answers everybody awaits, and one that is
//! switched on, shuts down or resets itself gives way to all until it has booted. That takes longer the less
//! it gets, so it is over not after some time but when the machine no longer wants a processor, or when
//! somebody says so: where the others leave little, a machine that has booted waits for what it wants and
//! cannot be told from one that boots. The kernel raises a priority for root only: under another user a server
//! that has booted keeps the lower one.

use super::network::Kind;
use super::qmp;
use rustix::process::{Pid, setpriority_process};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Servers get a third of the time that file servers and the client may have, and while they boot a fifth of
/// that. Of a twentieth two boots took five minutes beside busy hosts, longer than a manager waits.
const SERVER: i32 = 5;
const BOOTING: i32 = 12;
/// How often a machine that boots is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row at which a machine wants little once it has booted: one that boots waits now and then.
const QUIET: u32 = 3;
/// The least looks from the beginning on: a shutdown may wait longer than a boot does.
const SHORTEST: u32 = 10;
/// Less of a processor than this is quiet. A server at rest wants a tenth, a boot a whole one.
const LITTLE: f64 = 0.4;

/// What is said about a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It shuts down, or is about to.
    Ends,
    /// It has booted, and its services work.
    Up,
}

/// Sees to the priority of the process `pid` for as long as it lives. `boots`: it does so now. `events`
/// is where QEMU tells how the machine ends. What is said on the sender counts at once.
pub fn watch(pid: u32, kind: Kind, boots: bool, events: PathBuf) -> Sender<Word> {
    let (tell, words) = channel();
    if !matches!(kind, Kind::Server(_)) {
        return tell;
    }
    let ends = tell.clone();
    std::thread::spawn(move || {
        // The listener ends with QEMU.
        let _ = qmp::endings(&events, || ends.send(Word::Ends).is_ok());
    });
    std::thread::spawn(move || give_way(pid, boots, &words));
    tell
}

/// Until nobody is left who could say anything.
fn give_way(pid: u32, boots: bool, words: &Receiver<Word>) {
    let mut boot = boots.then(Boot::default);
    loop {
        set(pid, if boot.is_some() { BOOTING } else { SERVER });
        boot = match boot {
            Some(boot) => match boot.until_it_ends(pid, words) {
                Ok(next) => next,
                Err(RecvError) => return,
            },
            None => match words.recv() {
                Ok(Word::Ends) => Some(Boot::default()),
                Ok(Word::Up) => None,
                Err(RecvError) => return,
            },
        };
    }
}

/// A boot, from the shutdown before it on.
#[derive(Default)]
struct Boot {
    looks: u32,
    quiet: u32,
    /// What the machine had wanted of processors by the last look.
    wanted: Duration,
}

impl Boot {
    /// Nothing when it has ended, another when that has begun meanwhile.
    fn until_it_ends(
        mut self,
        pid: u32,
        words: &Receiver<Word>,
    ) -> Result<Option<Self>, RecvError> {
        loop {
            match words.recv_timeout(LOOK) {
                Ok(Word::Ends) => return Ok(Some(Self::default())),
                Ok(Word::Up) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(RecvError),
                Err(RecvTimeoutError::Timeout) if self.has_ended(wanted(pid)) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// To be asked every [`LOOK`]; `wanted` is what the machine has wanted by now.
    fn has_ended(&mut self, wanted: Duration) -> bool {
        let lately = wanted.saturating_sub(self.wanted);
        self.wanted = wanted;
        self.looks += 1;
        self.quiet = if lately < LOOK.mul_f64(LITTLE) {
            self.quiet + 1
        } else {
            0
        };
        self.looks >= SHORTEST && self.quiet >= QUIET
    }
}

/// How long the threads of a process have run or waited to run.
fn wanted(pid: u32) -> Duration {
    let times = threads(pid).filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        let nanoseconds = stat.split_whitespace().take(2);
        nanoseconds
            .map(|field| field.parse::<u64>().ok())
            .sum::<Option<u64>>()
    });
    Duration::from_nanos(times.sum())
}

/// Sets the priority of every thread of a process, as far as the kernel lets us.
fn set(pid: u32, nice: i32) {
    let ids = threads(pid).filter_map(|thread| {
        let id = thread.file_name()?.to_str()?.parse().ok()?;
        Pid::from_raw(id)
    });
    for id in ids {
        // Refused to whoever is not root and wants more; see above.
        let _ = setpriority_process(Some(id), nice);
    }
}

/// The threads of a process, as directories of `/proc`; none when it has ended.
fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let entries = std::fs::read_dir(tasks).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Field 19 of `stat`; the second is the name in parentheses.
    fn nice(pid: u32) -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
        nice.unwrap().parse().unwrap()
    }

    /// Wants as much of a processor, each second, and says when the boot was over.
    fn ended_after(percent: impl Fn(u32) -> u64) -> Option<u32> {
        let mut boot = Boot::default();
        let mut wanted = Duration::ZERO;
        (1..=100).find(|second| {
            wanted += Duration::from_millis(percent(*second) * 10);
            boot.has_ended(wanted)
        })
    }

    #[test]
    fn a_boot_is_over_once_nothing_is_wanted() {
        assert_eq!(ended_after(|_| 100), None);
        assert_eq!(ended_after(|_| 10), Some(SHORTEST));
        assert_eq!(ended_after(|s| if s <= 60 { 90 } else { 10 }), Some(63));
        // It waits for something, two seconds at a time.
        let waits = |s| if s <= 60 && s % 3 == 0 { 90 } else { 10 };
        assert_eq!(ended_after(waits), Some(63));
    }

    #[test]
    fn a_boot_is_over_when_it_is_said_and_begins_anew_with_another_end() {
        let after = |word| {
            let (tell, words) = channel();
            tell.send(word).unwrap();
            Boot::default().until_it_ends(std::process::id(), &words)
        };
        assert!(matches!(after(Word::Up), Ok(None)));
        assert!(matches!(after(Word::Ends), Ok(Some(Boot { looks: 0, .. }))));
    }

    #[test]
    fn what_a_process_wanted_is_known() {
        let before = wanted(std::process::id());
        let began = Instant::now();
        while wanted(std::process::id()) < before + Duration::from_millis(50) {
            assert!(began.elapsed() < Duration::from_secs(20));
        }
        assert_eq!(wanted(u32::MAX), Duration::ZERO);
    }

    #[test]
    fn who_shuts_down_gives_way() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id();
        let becomes = |wanted| {
            let began = Instant::now();
            while nice(pid) != wanted {
                assert!(began.elapsed() < Duration::from_secs(20), "{}", nice(pid));
                std::thread::yield_now();
            }
        };
        let (tell, words) = channel();
        let seer = std::thread::spawn(move || give_way(pid, false, &words));
        becomes(SERVER);
        tell.send(Word::Ends).unwrap();
        becomes(BOOTING);
        drop(tell);
        seer.join().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
