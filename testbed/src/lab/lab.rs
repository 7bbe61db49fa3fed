//! The lab as a whole: what experiments and the command line use.
//!
//! ```text
//! Lab::up -> ready lab saved? --no--> prepared lab saved? --no--> boot two at a time,
//!                |                        |                       make golden states, save
//!                |                        +---- load <----------------------+
//!                |                  managers to work, to rest, golden states loaded, save
//!                +----- load <---------------+
//! ```
//!
//! So every lab that is in use was loaded from a saved state, the first one too, and all start
//! alike, with managers at rest; who asks for it gets them at work. A supervisor thread switches
//! machines on when the switch sees a wake-on-LAN packet for them, and notices when they shut down.

use super::accel::{self, Choice, Wanted};
use super::agent;
use super::bringup;
use super::bundle::Bundle;
use super::cancel::Cancel;
use super::children::{self, Nursery};
use super::disks::DiskSet;
use super::error::{LabError, Result};
use super::events::Events;
use super::golden;
use super::guest::{Output, SMALL};
use super::lock::{self, LabLock};
use super::machine::{Machine, Power};
use super::network::{MACHINES, Spec};
use super::progress::{Listener, Step};
use super::qemu::{Disk, Launch, Sockets};
use super::ready::{self, Ready};
use super::roster::Roster;
use super::site::Site;
use super::switch::Switch;
use super::volume;
use ringward::cluster::{Activation, Settings, Topology};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Room that a run needs: logs, the capture and what machines write.
const RUN_MB: u64 = 2 << 10;
/// How often the supervisor looks whether a machine has shut down.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What kind of lab is wanted.
#[derive(Clone)]
pub struct Options {
    /// Tools, images and agent.
    pub bundle: Bundle,
    /// Another agent than the bundle's, to try it without building images.
    pub agent: Option<PathBuf>,
    /// KVM or emulation.
    pub accel: Wanted,
    /// Where logs, capture and disks of this run go; made if need be.
    pub run_dir: PathBuf,
    /// The text of `cluster.toml` up to `[probe]`.
    pub settings: String,
    /// The ring, or the conventional method's star.
    pub topology: Topology,
    /// Ignore a saved ready state.
    pub fresh: bool,
    /// Machines booted, saved or loaded at the same time.
    pub at_once: usize,
    /// Set the managers to work, and wait for a regular ring; otherwise they are at rest.
    pub at_work: bool,
    /// Only these machines, without golden states and managers; all if empty.
    pub only: Vec<&'static str>,
    /// Keep the machines for a look when they do not come up.
    pub keep: bool,
    /// Told of the machines as soon as there are any.
    pub roster: Roster,
    /// What this process is doing, for the message to a second one.
    pub purpose: String,
}

/// A lab that is up. Dropped, it goes down; [`Lab::down`] does so too and checks for leftovers.
pub struct Lab {
    machines: Vec<Arc<Machine>>,
    supervisor: Option<JoinHandle<()>>,
    ending: Cancel,
    switch: Switch,
    parts: Parts,
    _lock: LabLock,
}

/// What machines are made of and with.
struct Parts {
    options: Options,
    choice: Choice,
    events: Arc<Events>,
    nursery: Arc<Nursery>,
    sockets: PathBuf,
    cancel: Cancel,
}

impl Lab {
    /// Brings the lab up: loads the ready state of these inputs, or makes it first.
    pub fn up(options: &Options, cancel: &Cancel, tell: &Listener) -> Result<Lab> {
        let lock = LabLock::take(&lock::runtime_dir()?, &options.purpose)?;
        Lab::up_locked(lock, options, cancel, tell)
    }

    /// Like [`Lab::up`], for a process that has the lock already.
    pub fn up_locked(
        lock: LabLock,
        options: &Options,
        cancel: &Cancel,
        tell: &Listener,
    ) -> Result<Lab> {
        let run_dir = &options.run_dir;
        std::fs::create_dir_all(run_dir.join("machines"))
            .map_err(LabError::io("create", run_dir))?;
        volume::need_room(run_dir, RUN_MB, "a run", "--run-dir")?;
        let sockets = lock::runtime_dir()?.join("lan");
        remake(&sockets)?;
        let nursery = Arc::new(Nursery::new());
        tell("lab", Step::Begins("choosing the accelerator".to_owned()));
        let choice = accel::choose(options.accel, &options.bundle.tools, &nursery, run_dir)?;
        tell("lab", Step::Done(format!("accelerator: {choice}")));
        let events = Arc::new(Events::create(&run_dir.join("events.log"))?);
        events.note("lab", &format!("accelerator: {choice}"));
        let (switch, wakes) = Switch::start(&MACHINES, &sockets, &run_dir.join("lan.pcap"))?;
        let ending = Cancel::default();
        let parts = Parts {
            options: options.clone(),
            choice,
            events,
            nursery,
            sockets,
            cancel: cancel.clone(),
        };
        let machines = Vec::new();
        let mut lab = Lab {
            machines,
            supervisor: None,
            ending,
            switch,
            parts,
            _lock: lock,
        };
        let up = lab.parts.bring_up(&mut lab.machines, cancel, tell);
        match up {
            Err(error) if options.keep && !cancel.is_set() => {
                tell("lab", Step::Note(format!("{error}; the machines are kept")));
            }
            up => up?,
        }
        let (machines, ending) = (lab.machines.clone(), lab.ending.clone());
        lab.supervisor = Some(std::thread::spawn(move || {
            supervise(&machines, &wakes, &ending)
        }));
        Ok(lab)
    }

    /// All machines of the lab.
    pub fn machines(&self) -> &[Arc<Machine>] {
        &self.machines
    }

    /// A machine by name; the error lists the names there are.
    pub fn machine(&self, name: &str) -> Result<Arc<Machine>> {
        self.parts.options.roster.find(name)
    }

    /// The machines, for others to look on.
    pub fn roster(&self) -> &Roster {
        &self.parts.options.roster
    }

    /// Runs a program inside a machine, as root, and waits for its end.
    pub fn exec(&self, name: &str, argv: &[&str], within: Duration) -> Result<Output> {
        self.machine(name)?.guest.exec(argv, within)
    }

    /// A whole file of a machine.
    pub fn read_file(&self, name: &str, path: &str) -> Result<Vec<u8>> {
        self.machine(name)?.guest.read_file(path)
    }

    /// The LAN: faults and counts.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The capture, with everything in it that machines have sent before this call.
    pub fn capture(&self) -> Result<PathBuf> {
        self.switch.flush()?;
        Ok(self.parts.options.run_dir.join("lan.pcap"))
    }

    /// What happened, by the host's clock.
    pub fn events(&self) -> &Events {
        &self.parts.events
    }

    /// Where what was measured of the machines is kept: it is true of every lab of these inputs.
    pub fn calibration(&self) -> Result<PathBuf> {
        Ok(self.parts.prepared()?.calibration())
    }

    /// The accelerator and why it was chosen.
    pub fn choice(&self) -> &Choice {
        &self.parts.choice
    }

    /// Where this run's files are.
    pub fn run_dir(&self) -> &Path {
        &self.parts.options.run_dir
    }

    /// Ends the lab. An error if a process or a socket is left; disks of the run are removed.
    pub fn down(mut self) -> Result<()> {
        self.end();
        let Parts {
            sockets, options, ..
        } = &self.parts;
        let disks = options.run_dir.join("disks");
        if disks.exists() {
            std::fs::remove_dir_all(&disks).map_err(LabError::io("remove", &disks))?;
        }
        self.switch.stop()?;
        let mut left: Vec<String> = children::own_children()
            .into_iter()
            .map(|c| format!("process {c}"))
            .collect();
        let read = std::fs::read_dir(sockets).map_err(LabError::io("read", sockets))?;
        left.extend(read.flatten().map(|e| e.path().display().to_string()));
        if left.is_empty() {
            Ok(())
        } else {
            Err(LabError::Leftovers(left.join(", ")))
        }
    }

    fn end(&mut self) {
        self.ending.set();
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
        for machine in &self.machines {
            machine.end("off (the lab goes down)");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}

impl Parts {
    /// The place of the prepared lab of these inputs.
    fn prepared(&self) -> Result<Ready> {
        let o = &self.options;
        let settings = format!("{}\n{}\n{}", o.settings, o.topology, o.only.join(" "));
        Ready::prepared(&o.bundle, &settings, self.choice.accel)
    }

    /// Loads the machines from the ready state, which is made first if need be. `machines` are
    /// those that run, also when this fails.
    fn bring_up(
        &self,
        machines: &mut Vec<Arc<Machine>>,
        cancel: &Cancel,
        tell: &Listener,
    ) -> Result<()> {
        let o = &self.options;
        let prepared = self.prepared()?;
        let ready = prepared.with_agent(self.agent())?;
        let kept = |place: &Ready| place.set().filter(|_| !o.fresh);
        let set = match kept(&ready) {
            Some(set) => set,
            None => {
                let beneath = match kept(&prepared) {
                    Some(set) => set,
                    None => self.stage(&prepared, machines, |machines, set| {
                        *machines = self.make(set, tell)?;
                        self.prepare(machines, cancel, tell)?;
                        ready::save(machines, set, o.at_once, tell)
                    })?,
                };
                self.stage(&ready, machines, |machines, set| {
                    self.load(machines, &beneath, set.dir(), cancel, tell)?;
                    if o.agent.is_none() {
                        // Only one with another agent would start from there again.
                        prepared.forget_memory()?;
                    }
                    self.try_out(machines, &beneath, cancel, tell)?;
                    ready::save(machines, set, o.at_once, tell)
                })?
            }
        };
        self.load(machines, &set, &o.run_dir.join("disks"), cancel, tell)?;
        if o.at_work && o.only.is_empty() {
            golden::work(machines, cancel, tell)?;
        }
        Ok(())
    }

    /// Makes one stage in its place. What fails leaves nothing, unless it is kept for a look.
    fn stage(
        &self,
        place: &Ready,
        machines: &mut Vec<Arc<Machine>>,
        make: impl FnOnce(&mut Vec<Arc<Machine>>, &DiskSet) -> Result<()>,
    ) -> Result<DiskSet> {
        let part = place.begin()?;
        let made = make(machines, &DiskSet::at(&part));
        if made.is_err() && !self.options.keep {
            machines
                .iter()
                .for_each(|m| m.end("off (it did not come up)"));
            machines.clear();
            place.clean()?;
        }
        made?;
        place.finish(&part)
    }

    /// Loads the machines of a saved set; what they write goes to `disks`.
    fn load(
        &self,
        machines: &mut Vec<Arc<Machine>>,
        set: &DiskSet,
        disks: &Path,
        cancel: &Cancel,
        tell: &Listener,
    ) -> Result<()> {
        let o = &self.options;
        *machines = self.fleet(false, |name| set.stand_on(name, disks, &o.bundle.tools))?;
        ready::restore(machines, set, o.at_once, cancel, tell)
    }

    /// Boots machines, and makes golden states if all are there.
    fn prepare(&self, machines: &[Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
        let at_once = self.options.at_once;
        bringup::bring_up(machines, at_once, cancel, tell)?;
        if self.options.only.is_empty() {
            golden::make(machines, at_once, cancel, tell)?;
        }
        Ok(())
    }

    /// Hands out the agent, has the managers work until they are a regular ring, and loads golden states where
    /// they find them when they begin again.
    fn try_out(
        &self,
        machines: &[Arc<Machine>],
        beneath: &DiskSet,
        cancel: &Cancel,
        tell: &Listener,
    ) -> Result<()> {
        let o = &self.options;
        if !o.only.is_empty() {
            return Ok(());
        }
        if let Some(agent) = &o.agent {
            tell("lab", Step::Begins("handing out the agent".to_owned()));
            agent::hand_out(machines, agent, &beneath.release_key())?;
            tell("lab", Step::Done(format!("agent: {}", agent.display())));
        }
        golden::try_out(machines, cancel, tell)?;
        let settings = Settings::parse("cluster.toml", &o.settings)
            .map_err(|e| LabError::Other(e.to_string()))?;
        if settings.activation == Activation::Standby {
            golden::load(machines, o.at_once, cancel, tell)?;
        }
        Ok(())
    }

    /// The agent that the servers run.
    fn agent(&self) -> &Path {
        let o = &self.options;
        o.agent.as_ref().unwrap_or(&o.bundle.agent)
    }

    /// Makes disks and machines; the machines are off.
    fn make(&self, set: &DiskSet, tell: &Listener) -> Result<Vec<Arc<Machine>>> {
        let start = Instant::now();
        tell(
            "lab",
            Step::Begins("making keys, media and volumes".to_owned()),
        );
        let site = Site::new(&self.options.settings, self.options.topology)?;
        for spec in self.specs() {
            set.make(spec, &site, &self.options.bundle)?;
        }
        set.keep_release_key(&site)?;
        let took = start.elapsed().as_secs_f64();
        tell(
            "lab",
            Step::Done(format!("media and volumes made in {took:.1} s")),
        );
        self.fleet(true, |name| Ok(set.disks(name)))
    }

    fn specs(&self) -> impl Iterator<Item = &'static Spec> + '_ {
        let only = &self.options.only;
        MACHINES
            .iter()
            .filter(move |m| only.is_empty() || only.contains(&m.name))
    }

    fn fleet(
        &self,
        hold_managers: bool,
        disks: impl Fn(&str) -> Result<Vec<Disk>>,
    ) -> Result<Vec<Arc<Machine>>> {
        let o = &self.options;
        let machine = |spec: &'static Spec| {
            let logs = o.run_dir.join("machines").join(spec.name);
            std::fs::create_dir_all(&logs).map_err(LabError::io("create", &logs))?;
            let launch = Launch {
                spec: *spec,
                image: o.bundle.image(spec.name)?.clone(),
                accel: self.choice.accel,
                disks: disks(spec.name)?,
                sockets: Sockets::new(&self.sockets, spec.name),
                console_log: logs.join("console.log"),
                hold_managers,
            };
            let (tools, log) = (o.bundle.tools.clone(), logs.join("qemu.log"));
            let (nursery, events) = (self.nursery.clone(), self.events.clone());
            let cancel = self.cancel.clone();
            Ok(Arc::new(Machine::new(
                launch, log, tools, nursery, events, cancel,
            )))
        };
        let machines: Vec<_> = self.specs().map(machine).collect::<Result<_>>()?;
        o.roster.set(machines.clone());
        Ok(machines)
    }
}

/// Switches on machines that are called, and notices those that have shut down.
fn supervise(machines: &[Arc<Machine>], wakes: &Receiver<&'static str>, ending: &Cancel) {
    while !ending.is_set() {
        match wakes.recv_timeout(LOOK_EVERY) {
            Ok(name) => wake(machines, name),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
        }
        for machine in machines {
            machine.reap();
        }
    }
}

fn wake(machines: &[Arc<Machine>], name: &str) {
    let Some(machine) = machines.iter().find(|m| m.spec.name == name) else {
        return;
    };
    machine.reap();
    if machine.power().0 != Power::Off {
        return;
    }
    if let Err(error) = machine.wake() {
        machine.note(&format!("cannot be switched on: {error}"));
    }
}

fn remake(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(LabError::io("remove", dir)(e));
        }
        _ => {}
    }
    std::fs::create_dir_all(dir).map_err(LabError::io("create", dir))
}

/// How long a small command may take; for callers that have no opinion.
pub const EXEC_WITHIN: Duration = SMALL;
