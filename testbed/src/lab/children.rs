//! Children that cannot outlive the testbed.
//!
//! Every QEMU is started through `setpriv --pdeathsig KILL`, so the kernel ends it when its parent
//! dies, however that happens. The kernel means the parent *thread*: so one thread starts all of
//! them and lives as long as the lab. Each child leads its own process group, so that a Ctrl-C
//! meant for the testbed does not reach the machines before the testbed has decided what to do.

use super::bundle::Toolbox;
use super::error::{LabError, Result};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

struct Order {
    command: Command,
    answer: Sender<std::io::Result<Child>>,
}

/// Starts children; end it last.
#[derive(Debug)]
pub struct Nursery {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Nursery {
    /// Starts the thread that will be the parent.
    pub fn new() -> Nursery {
        let (orders, todo) = channel::<Order>();
        let thread = std::thread::spawn(move || {
            for mut order in todo {
                // A requester that has gone away gets no orphan.
                let Err(unsent) = order.answer.send(order.command.spawn()) else {
                    continue;
                };
                if let Ok(mut child) = unsent.0 {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Nursery {
            orders: Some(orders),
            thread: Some(thread),
        }
    }

    /// Starts `tool` of the tool root with its output going to `log`.
    pub fn spawn(
        &self,
        tools: &Toolbox,
        tool: &str,
        args: &[OsString],
        log: File,
    ) -> Result<Child> {
        let failed = |status: String| LabError::Tool {
            tool: tool.to_owned(),
            status,
            output: String::new(),
        };
        let mut command = tools.command("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(tools.words(tool))
            .args(args);
        let copy = log.try_clone().map_err(|e| failed(e.to_string()))?;
        command
            .stdin(Stdio::null())
            .stdout(copy)
            .stderr(log)
            .process_group(0);
        let (answer, result) = channel();
        let sent = self
            .orders
            .as_ref()
            .is_some_and(|o| o.send(Order { command, answer }).is_ok());
        if !sent {
            return Err(LabError::Interrupted);
        }
        let child = result.recv().map_err(|_| LabError::Interrupted)?;
        child.map_err(|e| failed(e.to_string()))
    }
}

impl Default for Nursery {
    fn default() -> Nursery {
        Nursery::new()
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Processes of this host whose parent is this process, as `pid (name)`, read from /proc.
///
/// After a lab has gone down there must be none.
pub fn own_children() -> Vec<String> {
    let me = std::process::id().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().into_string().ok()?;
            pid.parse::<u32>().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name is in parentheses and may hold any character; fields follow the last one.
            let (head, tail) = stat.rsplit_once(')')?;
            let name = head.split_once('(')?.1;
            (tail.split_whitespace().nth(1)? == me).then(|| format!("{pid} ({name})"))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_its_own_children_and_only_these() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mine = format!("{} (sleep)", child.id());
        assert!(own_children().contains(&mine));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!own_children().contains(&mine));
    }
}
