//! Who gives way to whom when machines want more processor than there is.
//!
//! Real machines each have their own. Here a boot takes a whole processor for half a minute, two of them
//! take what all others need, and what is late then looks like a failure. So servers give way to the file
//! servers and the client, which have little to do and whose answers everybody awaits, and one that is
//! switched on, or shuts down and resets itself, gives way to all until it has booted. The kernel raises a priority for
//! root only: under another user a server that has booted keeps the lower one, which hardly shows, since
//! there is rarely more to do than there is time for.

use super::network::Kind;
use super::qmp;
use rustix::process::{Pid, setpriority_process};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Servers get a third of the time that file servers and the client may have, and while they boot hardly
/// more than what the others leave.
const SERVER: i32 = 5;
const BOOTING: i32 = 19;
/// A boot of an emulated server, until its function is at home.
const BOOT: Duration = Duration::from_secs(30);

/// Sees to the priority of the process `pid` for as long as it lives. `boots`: it does so now. `events`
/// is where QEMU tells of resets.
pub fn watch(pid: u32, kind: Kind, boots: bool, events: PathBuf) {
    if !matches!(kind, Kind::Server(_)) {
        return;
    }
    let (told, resets) = channel();
    std::thread::spawn(move || {
        // The listener ends with QEMU; so does the loop below.
        let _ = qmp::resets(&events, || told.send(()).is_ok());
    });
    std::thread::spawn(move || {
        let mut booting = boots;
        loop {
            set(pid, if booting { BOOTING } else { SERVER });
            let next = match booting {
                true => resets.recv_timeout(BOOT),
                false => resets.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            booting = match next {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => {
                    // It ended, or does not tell of resets.
                    set(pid, SERVER);
                    return;
                }
            };
        }
    });
}

/// The machine shuts down, and may boot then: it gives way from now on.
pub fn give_way(pid: u32) {
    set(pid, BOOTING);
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

    #[test]
    fn every_thread_gives_way() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        set(child.id(), BOOTING);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // The 19th field; the second is the name in parentheses.
        let nice = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
        assert_eq!(nice, Some("19"), "{stat}");
    }
}
