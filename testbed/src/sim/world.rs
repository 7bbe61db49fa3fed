//! A cluster in virtual time: the agents' own decision code on machines that fail.
//!
//! ```text
//!   queue --- what is due ---> world --- Input ---> Management::handle (a server's decisions)
//!     ^                          ^                          |
//!     |                          +------ carry out <------- Output
//!     +-- later, with the result --------------+
//! ```
//!
//! | part | what |
//! |---|---|
//! | `happen` | what is due is done: examinations, the share, VIPs, VMs |
//! | `carry` | what the decisions want is begun |
//! | `strike` | what befalls the cluster |
//! | `look` | the audit's rules |

use std::time::Duration;

use ringward::manage::{Asker, Input, Management, Message, Now, Output};

use super::audit::Audit;
use super::cluster::Cluster;
use super::count::Count;
use super::fault::Fault;
use super::happening::{Deed, Happening, VmOrder};
use super::log::{Line, What};
use super::machine::{Machine, VmState};
use super::network::Network;
use super::queue::Queue;
use super::random::Random;
use super::share::Share;

/// The least time between two ticks of one server.
const LEAST: Duration = Duration::from_millis(1);
/// From the answer of a started machine's services to its agent's start.
pub(super) const AGENT: Duration = Duration::from_millis(500);
/// How often the audit looks at what takes time.
const LOOK: Duration = Duration::from_secs(1);

/// A rule of safety that is left out on purpose, to see that the audit tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests leave rules out"))]
pub(super) enum Sabotage {
    /// Servers' kernels keep a VIP whose lifetime is over.
    Lifetimes,
    /// Backup VMs' kernels do.
    VmLifetimes,
    /// Two servers can win one epoch.
    EpochsTwice,
    /// Readings of the share show what was there long ago.
    OldReadings,
    /// Nobody looks at the seal of a state file.
    Seals,
    /// No server gives its word.
    Words,
    /// Hosts start no VM and say nothing.
    Activation,
    /// A VM that is to be released keeps running with its VIP.
    Release,
    /// Nobody hears a server ask for its function when it is away.
    Homecoming,
}

/// The world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Now,
    pub(super) cluster: Cluster,
    pub(super) machines: Vec<Machine>,
    pub(super) share: Share,
    pub(super) network: Network,
    pub(super) audit: Audit,
    /// Unless it is not wanted.
    pub(super) log: Option<Vec<Line>>,
    /// What the servers do, while it is counted.
    pub(super) count: Option<Box<Count>>,
    pub(super) sabotage: Option<Sabotage>,
    /// Servers behind a target in trouble are not looked at with it, as in the paper.
    pub(super) one_by_one: bool,
    /// What happened so far.
    pub(super) steps: u64,
    pub(super) random: Random,
    pub(super) queue: Queue<Happening>,
    pub(super) faults: Vec<Fault>,
    /// When something befell the cluster lately.
    pub(super) strikes: Vec<Now>,
    /// What decisions want; empty but for its memory between two inputs.
    outputs: Vec<Output>,
}

impl World {
    /// All machines up, their agents about to start. Equal seeds go equal ways.
    pub(super) fn new(cluster: Cluster, seed: u64) -> Self {
        let n = cluster.len();
        let audit = Audit::new(n, &cluster.settings.timings, cluster.times.activation);
        let mut world = Self {
            now: Now::default(),
            machines: (0..n).map(|_| Machine::new(n)).collect(),
            share: Share::new(n),
            network: Network::new(n),
            audit,
            log: Some(Vec::new()),
            count: None,
            sabotage: None,
            one_by_one: false,
            steps: 0,
            random: Random::new(seed),
            queue: Queue::new(),
            faults: Vec::new(),
            strikes: Vec::new(),
            outputs: Vec::new(),
            cluster,
        };
        for server in 0..n {
            world
                .queue
                .push(world.now, Happening::AgentStarts { server, boot: 0 });
        }
        world.queue.push(Now(LOOK), Happening::Check);
        world
    }

    /// Has a fault strike at some moment.
    pub(super) fn plan(&mut self, at: Now, fault: Fault) {
        self.queue.push(at, Happening::Strike(self.faults.len()));
        self.faults.push(fault);
    }

    /// Goes on until then, or until a rule is broken.
    pub(super) fn run_until(&mut self, end: Now) {
        while self.audit.violation.is_none() {
            let Some((at, happening)) = self.queue.pop_until(end) else {
                self.now = end;
                return;
            };
            self.now = at;
            self.steps += 1;
            self.happen(happening);
        }
    }

    pub(super) fn after(&mut self, pause: Duration, happening: Happening) {
        self.queue.push(self.now + pause, happening);
    }

    /// A deed of the agent that runs on a server now.
    pub(super) fn later(&mut self, pause: Duration, server: usize, deed: Deed) {
        let run = self.machines[server].run;
        self.after(pause, Happening::Do { server, run, deed });
    }

    pub(super) fn tell_later(&mut self, pause: Duration, server: usize, input: Input) {
        self.later(pause, server, Deed::Input(input));
    }

    /// Gives an input to the decisions of a server and begins what they want.
    pub(super) fn feed(&mut self, server: usize, input: Input) {
        let machine = &mut self.machines[server];
        let now = machine.clock(self.now);
        let Some(agent) = machine.agent.as_mut() else {
            return;
        };
        if let Some(count) = &mut self.count {
            count.input(server, &input);
        }
        let asked = matches!(&input, Input::Message { message, .. }
            if matches!(message, Message::Confirm { .. }));
        let teaches = matches!(
            input,
            Input::Claims { .. } | Input::Claimed { .. } | Input::Message { .. }
        );
        let mut outputs = std::mem::take(&mut self.outputs);
        agent.handle(now, input, &mut outputs);
        let due = agent.next_deadline();
        machine.due = machine.moment(due).max(self.now + LEAST);
        let due = machine.due;
        if machine.tick.is_none_or(|tick| due < tick) {
            machine.tick = Some(due);
            self.queue.push(due, Happening::Tick(server));
        }
        if teaches {
            self.look_at_epochs(server);
        }
        for output in outputs.drain(..) {
            if self.one_by_one && !asked && self.looks_behind(server, &output) {
                continue;
            }
            if let Some(count) = &mut self.count {
                count.output(server, &output);
            }
            self.carry_out(server, output);
        }
        self.outputs = outputs;
    }

    /// Whether a server, without being asked, looks at one that it does not manage, or has others
    /// look.
    fn looks_behind(&self, server: usize, output: &Output) -> bool {
        match output {
            Output::Ping { id, .. } => id.asker == Asker::Peer,
            Output::Send {
                message: Message::Confirm { target, .. },
                ..
            } => {
                let agent = self.machines[server].agent.as_ref();
                let modes = agent.map(|agent| agent.modes()).unwrap_or_default();
                !modes.iter().any(|(_, managed, _)| managed == target)
            }
            _ => false,
        }
    }

    /// A tick that was queued is due, or was overtaken by an earlier one.
    pub(super) fn tick(&mut self, server: usize) {
        let machine = &mut self.machines[server];
        if machine.tick != Some(self.now) {
            return;
        }
        machine.tick = None;
        if machine.agent.is_none() || machine.stall.is_some() {
            return;
        }
        let due = machine.due;
        if due <= self.now {
            self.feed(server, Input::Tick);
        } else {
            machine.tick = Some(due);
            self.queue.push(due, Happening::Tick(server));
        }
    }

    /// The agent of a machine starts. What an earlier one left is taken off first.
    pub(super) fn start_agent(&mut self, server: usize) {
        let machine = &mut self.machines[server];
        if !machine.powered || machine.agent.is_some() {
            return;
        }
        machine.run += 1;
        let boot = machine.run * 1000 + 7;
        machine.agent = Some(Box::new(Management::new(self.cluster.config(server, boot))));
        machine.zero = self.now;
        machine.ahead = Duration::ZERO;
        machine.tick = None;
        machine.vip = Now::default();
        machine.vip_free = self.now;
        machine.states.clear();
        machine.views = None;
        machine.writing = false;
        machine.read.fill(Now::default());
        machine.epochs.clear();
        machine.news = 0;
        let mut kept = Vec::new();
        for (function, slot) in machine.slots.iter_mut().enumerate() {
            slot.free = self.now;
            match slot.state {
                Some(VmState::Standby) => kept.push(function),
                _ => slot.state = None,
            }
        }
        self.feed(server, Input::Tick);
        self.later(Duration::ZERO, server, Deed::Load);
        for function in kept {
            // Whatever was loaded is found and told.
            let order = VmOrder::Load;
            self.later(Duration::ZERO, server, Deed::Vm { function, order });
        }
    }

    /// The agent ends, without letting go of anything.
    pub(super) fn end_agent(&mut self, server: usize) {
        let machine = &mut self.machines[server];
        machine.agent = None;
        machine.run += 1;
        machine.stall = None;
    }

    pub(super) fn note(&mut self, server: usize, what: What) {
        if let Some(log) = &mut self.log {
            let server = self.cluster.name(server).to_owned();
            let at = self.now;
            log.push(Line { at, server, what });
        }
    }

    /// What the decisions log.
    pub(super) fn log_output(&mut self, server: usize, output: Output) {
        if let Output::Log(event) = output {
            self.look_at_event(server, &event);
            if self.log.is_some() {
                self.note(server, What::Event(event));
            }
        }
    }
}
