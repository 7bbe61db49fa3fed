//! One machine: its QEMU process, and power as one would press buttons on a real one.
//!
//! ```text
//!          on / wake-on-LAN              freeze
//!   Off ----------------------> On  <-------------> Frozen
//!    ^                          |        thaw          |
//!    +--- off (orderly), cut ---+---------- cut -------+
//! ```
//!
//! Off means that no process is there; a machine that is switched on really boots, from the disks
//! as it left them. One that was unplugged is not woken: somebody must switch it on.

use super::bundle::Toolbox;
use super::cancel::Cancel;
use super::children::Nursery;
use super::error::{LabError, Result};
use super::events::Events;
use super::guest::{Guest, SMALL};
use super::network::Spec;
use super::qemu::{Launch, Start};
use super::qmp::Monitor;
use super::yielding;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// No process.
    Off,
    /// Running.
    On,
    /// Stopped as a whole, in the middle of whatever it did.
    Frozen,
}

impl Power {
    /// As status says it.
    pub fn word(self) -> &'static str {
        match self {
            Power::Off => "off",
            Power::On => "on",
            Power::Frozen => "frozen",
        }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    course: Sender<yielding::Word>,
    since: Instant,
    frozen: bool,
}

impl Process {
    fn signal(&self, signal: Signal) -> nix::Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal)
    }
}

/// A machine of the lab.
#[derive(Debug)]
pub struct Machine {
    /// What and where it is.
    pub spec: Spec,
    /// Its guest agent.
    pub guest: Guest,
    launch: Launch,
    log: PathBuf,
    tools: Toolbox,
    nursery: Arc<Nursery>,
    events: Arc<Events>,
    process: Mutex<Option<Process>>,
    unplugged: AtomicBool,
}

impl Machine {
    /// A machine that is off. QEMU's own words go to `log`.
    pub fn new(
        launch: Launch,
        log: PathBuf,
        tools: Toolbox,
        nursery: Arc<Nursery>,
        events: Arc<Events>,
        cancel: Cancel,
    ) -> Machine {
        let guest = Guest::new(launch.spec.name, &launch.sockets.guest, cancel);
        let process = Mutex::new(None);
        Machine {
            spec: launch.spec,
            guest,
            launch,
            log,
            tools,
            nursery,
            events,
            process,
            unplugged: AtomicBool::new(false),
        }
    }

    /// Whether it runs, and since when.
    pub fn power(&self) -> (Power, Option<Duration>) {
        match &*self.lock() {
            None => (Power::Off, None),
            Some(p) if p.frozen => (Power::Frozen, Some(p.since.elapsed())),
            Some(p) => (Power::On, Some(p.since.elapsed())),
        }
    }

    /// Switches it on; `why` goes to the events. Nothing happens if it is on.
    pub fn on(&self, why: &str) -> Result<()> {
        self.unplugged.store(false, Ordering::Relaxed);
        self.spawn(Start::Boot, why)
    }

    /// Switches it on as a wake-on-LAN packet does: only if it has power.
    pub fn wake(&self) -> Result<()> {
        if self.unplugged.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.spawn(Start::Boot, "wake-on-LAN")
    }

    /// Starts its QEMU to wait for a saved state.
    pub fn incoming(&self) -> Result<()> {
        self.spawn(Start::Incoming, "restored")
    }

    /// Asks it to shut down in order; returns at once (see [`Machine::wait_off`]).
    pub fn off(&self) -> Result<()> {
        self.need("shut down", Power::On)?;
        self.events.note(self.spec.name, "told to shut down");
        self.guest.start(&["systemctl", "--no-block", "poweroff"])
    }

    /// Waits until its process has ended.
    pub fn wait_off(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.power().0 != Power::Off {
            if Instant::now() > deadline {
                return Err(LabError::timeout(self.spec.name, "shut down", within, ""));
            }
            self.reap();
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Takes its power away. Nothing happens if it is off.
    pub fn cut(&self) {
        self.end("power cut");
    }

    /// The same, and nothing wakes it until somebody switches it on.
    pub fn unplug(&self) {
        self.unplugged.store(true, Ordering::Relaxed);
        self.end("unplugged");
    }

    /// Stops it in the middle of whatever it does.
    pub fn freeze(&self) -> Result<()> {
        self.stop_or_go("freeze", Power::On, Signal::SIGSTOP)
    }

    /// Lets a frozen machine go on.
    pub fn thaw(&self) -> Result<()> {
        self.stop_or_go("thaw", Power::Frozen, Signal::SIGCONT)
    }

    /// QEMU's monitor.
    pub fn monitor(&self) -> Result<Monitor> {
        self.need("reach the monitor of", Power::On)?;
        Monitor::connect(self.spec.name, &self.launch.sockets.monitor)
    }

    /// Whether its guest agent is there: it is not while the machine boots. A busy one is there too, and
    /// answers late.
    pub fn has_agent(&self) -> Result<bool> {
        let devices = self
            .monitor()?
            .command("query-chardev", serde_json::json!({}))?;
        let mut devices = devices.as_array().into_iter().flatten();
        Ok(devices.any(|of| of["label"] == "ga" && of["frontend-open"] == true))
    }

    /// The serial console's socket.
    pub fn console(&self) -> &std::path::Path {
        &self.launch.sockets.console
    }

    /// Megabytes that its process has in memory; 0 when it is off.
    pub fn resident_mb(&self) -> u64 {
        let pid = self.lock().as_ref().map(|p| p.child.id());
        let status = pid.and_then(|p| std::fs::read_to_string(format!("/proc/{p}/status")).ok());
        let line = status
            .as_deref()
            .and_then(|s| s.lines().find(|l| l.starts_with("VmRSS:")));
        let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
        kb.unwrap_or(0) / 1024
    }

    /// Adds a line about it to the events.
    pub fn note(&self, what: &str) {
        self.events.note(self.spec.name, what);
    }

    /// Waits until its process has ended after it was saved.
    pub fn wait_saved(&self, within: Duration) -> Result<()> {
        self.events.note(self.spec.name, "saved");
        self.wait_off(within)
    }

    /// Notices that its process has ended by itself.
    pub fn reap(&self) {
        let mut process = self.lock();
        let Some(Ok(Some(status))) = process.as_mut().map(|p| p.child.try_wait()) else {
            return;
        };
        *process = None;
        self.gone();
        let what = if status.success() {
            "shut down".to_owned()
        } else {
            format!("QEMU ended with {status}")
        };
        self.events.note(self.spec.name, &what);
    }

    /// It shuts down, or is up: see [`yielding`].
    pub fn takes_its_course(&self, word: yielding::Word) {
        if let Some(running) = self.lock().as_ref() {
            // Nobody listens if it is not one that gives way.
            let _ = running.course.send(word);
        }
    }

    /// Ends its process, whatever it does.
    pub fn end(&self, why: &str) {
        let mut process = self.lock();
        let Some(mut running) = process.take() else {
            return;
        };
        // An error means that it has ended by itself.
        let _ = running.child.kill();
        let _ = running.child.wait();
        self.gone();
        self.events.note(self.spec.name, why);
    }

    fn spawn(&self, start: Start, why: &str) -> Result<()> {
        let mut process = self.lock();
        if process.is_some() {
            return Ok(());
        }
        self.gone();
        let args = self.launch.args(&self.tools, start)?;
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(LabError::io("write", &self.log))?;
        let child = self
            .nursery
            .spawn(&self.tools, "qemu-system-x86_64", &args, log)?;
        let (boots, events) = (start == Start::Boot, self.launch.sockets.events.clone());
        let course = yielding::watch(child.id(), self.spec.kind, boots, events);
        *process = Some(Process {
            child,
            course,
            since: Instant::now(),
            frozen: false,
        });
        self.events.note(self.spec.name, &format!("on ({why})"));
        Ok(())
    }

    /// QEMU leaves its sockets behind; a stale one would take a moment to refuse.
    fn gone(&self) {
        self.guest.disconnect();
        let s = &self.launch.sockets;
        for socket in [&s.monitor, &s.events, &s.guest, &s.console] {
            // Not there is as good as removed.
            let _ = std::fs::remove_file(socket);
        }
    }

    fn stop_or_go(&self, doing: &'static str, from: Power, signal: Signal) -> Result<()> {
        self.need(doing, from)?;
        let mut process = self.lock();
        let Some(running) = process.as_mut() else {
            return Ok(());
        };
        running.signal(signal).map_err(|e| LabError::State {
            doing,
            machine: format!("{} ({e})", self.spec.name),
            state: "ending",
        })?;
        running.frozen = signal == Signal::SIGSTOP;
        self.events.note(
            self.spec.name,
            if running.frozen { "frozen" } else { "thawed" },
        );
        Ok(())
    }

    fn need(&self, doing: &'static str, wanted: Power) -> Result<()> {
        let (power, _) = self.power();
        if power == wanted {
            return Ok(());
        }
        Err(LabError::State {
            doing,
            machine: self.spec.name.to_owned(),
            state: power.word(),
        })
    }

    /// Waits until the guest agent answers; gives up when QEMU has ended.
    pub fn wait_guest(&self, cancel: &Cancel, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            cancel.check()?;
            self.reap();
            self.need("talk to", Power::On)?;
            if self.guest.ping(Duration::from_secs(1)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let hint = "; see its console.log";
                return Err(LabError::timeout(
                    self.spec.name,
                    "boot to its guest agent",
                    within,
                    hint,
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a shell script inside; its output counts only if it succeeds.
    pub fn script(&self, script: &str) -> Result<String> {
        let out = self.guest.exec(&["/bin/sh", "-c", script], SMALL)?;
        if out.ok() {
            return Ok(out.text());
        }
        Err(LabError::Guest {
            machine: self.spec.name.to_owned(),
            doing: format!("run `{script}`"),
            what: format!("status {}: {}", out.code, out.said()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end("off (the lab goes down)");
    }
}
