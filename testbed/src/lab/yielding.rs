//! Who gives way to whom when machines want more processor than there is.
//!
//! Real machines each have their own. Here a boot takes a whole processor for half a minute, two of them
//! take what all others need, and what is late then looks like a failure. So servers give way to the file
//! servers and the client, which have little to do and whose answers everybody awaits, and one that is
//! switched on, shuts down or resets itself gives way to all for as long as a boot takes. The kernel
//! raises a priority for root only: under another user a server that has booted keeps the lower one, which
//! hardly shows, since there is rarely more to do than there is time for.

use super::network::Kind;
use super::qmp;
use rustix::process::{Pid, setpriority_process};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Servers get a third of the time that file servers and the client may have, and while they boot hardly
/// more than what the others leave.
const SERVER: i32 = 5;
const BOOTING: i32 = 19;
/// A boot of an emulated server, until its function is at home.
const BOOT: Duration = Duration::from_secs(30);

/// Sees to the priority of the process `pid` for as long as it lives. `boots`: it does so now. `events`
/// is where QEMU tells how the machine ends. Who says on the sender that it will shut down makes it give way
/// at once.
pub fn watch(pid: u32, kind: Kind, boots: bool, events: PathBuf) -> Sender<()> {
    let (told, begins) = channel();
    if !matches!(kind, Kind::Server(_)) {
        return told;
    }
    let ends = told.clone();
    std::thread::spawn(move || {
        // The listener ends with QEMU.
        let _ = qmp::endings(&events, || ends.send(()).is_ok());
    });
    std::thread::spawn(move || give_way(pid, boots, &begins));
    told
}

/// Until nobody is left who could tell of a beginning.
fn give_way(pid: u32, mut booting: bool, begins: &Receiver<()>) {
    loop {
        set(pid, if booting { BOOTING } else { SERVER });
        let next = match booting {
            true => begins.recv_timeout(BOOT),
            false => begins.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        booting = match next {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// Sets the priority of every thread of a process, as far as the kernel lets us.
fn set(pid: u32, nice: i32) {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let Ok(entries) = std::fs::read_dir(tasks) else {
        return;
    };
    let threads = entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(id)
    });
    for thread in threads {
        // Refused to whoever is not root and wants more; see above.
        let _ = setpriority_process(Some(thread), nice);
    }
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
        let (told, begins) = channel();
        let seer = std::thread::spawn(move || give_way(pid, false, &begins));
        becomes(SERVER);
        told.send(()).unwrap();
        becomes(BOOTING);
        drop(told);
        seer.join().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
