//! What is due is done.

use std::time::Duration;

use ringward::cluster::{Activation, ServerName, Service};
use ringward::manage::claim::Claim;
use ringward::manage::{ClaimResult, ExamId, Input, Now, Query};

use super::carry::ON_THEIR_WAY;
use super::happening::{Deed, Happening, Reading, Stage, VipOrder, VmOrder};
use super::machine::{Illness, VmState};
use super::share::Health;
use super::world::{AGENT, Sabotage, World};

/// A ping's way and back.
const PING: Duration = Duration::from_millis(9);
/// A connection that is refused.
const REFUSED: Duration = Duration::from_millis(5);
/// Pause before a writing to the share is tried again: the agent's deadline, and its own pause.
const REWRITE: Duration = Duration::from_secs(3);
/// After that the kernel gives up a request to a file server that does not answer.
const GIVEN_UP: Duration = Duration::from_secs(6);
/// What a VIP that is kept against the rule is kept for.
const FOREVER: Duration = Duration::from_secs(3600);

impl World {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(server) => self.tick(server),
            Happening::Do { server, run, deed } => {
                let machine = &mut self.machines[server];
                if machine.run != run || machine.agent.is_none() {
                    return;
                }
                match &mut machine.stall {
                    Some(stall) => stall.held.push(Happening::Do { server, run, deed }),
                    None => self.act(server, deed),
                }
            }
            Happening::Boot {
                server,
                boot,
                stage,
            } => self.boot(server, boot, stage),
            Happening::AgentStarts { server, boot } => {
                if self.machines[server].boot == boot {
                    self.start_agent(server);
                }
            }
            Happening::Flap {
                server,
                turn,
                every,
            } => self.flap(server, turn, every),
            Happening::GoesOn { server, since } => {
                let stall = self.machines[server].stall.as_ref();
                if stall.is_some_and(|stall| stall.since == since && !stall.frozen) {
                    self.go_on(server);
                }
            }
            Happening::Strike(at) => {
                let fault = self.faults[at].clone();
                self.strike(&fault);
            }
            Happening::Check => self.look(),
        }
    }

    fn act(&mut self, server: usize, deed: Deed) {
        match deed {
            Deed::Input(Input::ServicesRestarted(result)) => {
                let machine = &mut self.machines[server];
                if matches!(machine.illness, Some(Illness::Stopped | Illness::Hung)) {
                    machine.illness = None;
                }
                self.feed(server, Input::ServicesRestarted(result));
            }
            Deed::Input(input) => {
                if let Input::Claims {
                    query,
                    begun,
                    result: Ok(_),
                } = &input
                {
                    self.look_at_answer(server, query, *begun);
                }
                let heard = self.machines[server].network;
                if heard || !matches!(input, Input::Message { .. }) {
                    self.feed(server, input);
                }
            }
            Deed::Ping { id, ends } => self.ping(server, id, ends),
            Deed::Probe { id, service, ends } => self.probe(server, id, service, ends),
            Deed::Claim { claim, done, heard } => self.claim(server, claim, done, heard),
            Deed::Read(reading) => self.go_on_reading(server, reading),
            Deed::Write => self.write_files(server),
            Deed::Vip(order) => self.own_vip(server, order),
            Deed::Vm { function, order } => self.guest(server, function, order),
            Deed::Load => {
                let sample = self.sample(server);
                self.feed(server, Input::Load(Box::new(sample)));
                let every = self.cluster.settings.timings.t_im;
                self.later(every, server, Deed::Load);
            }
        }
    }

    fn boot(&mut self, server: usize, boot: u64, stage: Stage) {
        let machine = &mut self.machines[server];
        if machine.boot != boot || !machine.powered {
            return;
        }
        match stage {
            Stage::Network => machine.network = true,
            Stage::Services => {
                machine.booting = false;
                if machine.illness != Some(Illness::Lost) {
                    machine.illness = None;
                }
                let stage = Stage::Agent;
                self.after(
                    AGENT,
                    Happening::Boot {
                        server,
                        boot,
                        stage,
                    },
                );
            }
            Stage::Agent => self.start_agent(server),
        }
    }

    fn ping(&mut self, server: usize, id: ExamId, ends: Now) {
        let target = self.cluster.find(&id.target);
        let ok = target.is_some_and(|target| {
            self.machines[target].answers() && self.network.joins(server, target)
        });
        let delay = self.network.way(&mut self.random) + self.network.way(&mut self.random);
        let back = self.now + PING + delay;
        let ok = ok && back <= ends && self.network.pings(&mut self.random);
        let after = if ok { back } else { ends };
        let input = Input::Pinged { id, ok };
        self.tell_later(after.since(self.now), server, input);
    }

    fn probe(&mut self, server: usize, id: ExamId, service: Service, ends: Now) {
        let Some(target) = self.cluster.find(&id.target) else {
            return;
        };
        let machine = &self.machines[target];
        let reached = machine.answers()
            && self.network.joins(server, target)
            && self.network.pings(&mut self.random);
        let (ok, takes) = match machine.illness {
            _ if !reached => (false, ends.since(self.now)),
            _ if machine.booting => (false, REFUSED),
            None => (true, self.cluster.examination[target]),
            Some(Illness::Hung) => (false, ends.since(self.now)),
            Some(_) => (false, REFUSED),
        };
        let left = ends.since(self.now);
        let input = Input::Probed {
            id,
            service,
            ok: ok && takes <= left,
        };
        self.tell_later(takes.min(left), server, input);
    }

    /// Whether a server reaches the share.
    pub(super) fn shares(&self, server: usize) -> bool {
        self.network.joins(server, self.cluster.len())
            && matches!(self.share.health, Health::Well | Health::Slow(_))
    }

    fn claim(&mut self, server: usize, claim: Claim, done: Now, heard: bool) {
        if !self.shares(server) {
            let hangs = self.share.health == Health::Hung && self.now.since(done) < GIVEN_UP;
            if hangs && (!heard || self.random.chance(ON_THEIR_WAY)) {
                let (claim, heard) = (claim.clone(), false);
                let deed = Deed::Claim { claim, done, heard };
                self.later(Duration::from_secs(1), server, deed);
            }
            if heard {
                let result = ClaimResult::Failed("no answer".to_owned());
                self.no_answer(server, done, Input::Claimed { claim, result });
            }
            return;
        }
        let Some(function) = self.cluster.find(&claim.function) else {
            return;
        };
        let twice = self.sabotage == Some(Sabotage::EpochsTwice);
        let result = self.share.claim(self.now, server, function, &claim, twice);
        self.look_at_claims(function);
        if heard {
            let input = Input::Claimed { claim, result };
            self.tell_later(done.since(self.now), server, input);
        }
    }

    /// A reading looks at some functions now and at others a moment later.
    fn go_on_reading(&mut self, server: usize, mut reading: Reading) {
        if !self.shares(server) {
            let (query, begun) = (reading.query, reading.begun);
            let result = Err("no answer".to_owned());
            let input = Input::Claims {
                query,
                begun,
                result,
            };
            self.no_answer(server, reading.done, input);
            return;
        }
        let unchecked = self.sabotage == Some(Sabotage::Seals);
        let n = self.cluster.len();
        match &reading.query {
            Query::One(function) => {
                let found = self.cluster.find(function);
                let read = found.and_then(|function| self.share.read(function, unchecked));
                reading.got.extend(read);
                reading.next = n;
            }
            Query::All => {
                let whole = reading.next > 0 || self.share.health == Health::Well;
                let end = if whole { n } else { n.div_ceil(2) };
                for function in reading.next..end {
                    reading.got.extend(self.share.read(function, unchecked));
                }
                reading.next = end;
            }
        }
        let left = reading.done.since(self.now);
        if reading.next < n {
            self.later(left / 2, server, Deed::Read(reading));
            return;
        }
        let mut begun = reading.begun;
        if self.sabotage == Some(Sabotage::OldReadings) {
            reading.got.clear();
            begun = self.machines[server].clock(self.now);
        }
        self.look_at_reading(server, &reading);
        let input = Input::Claims {
            query: reading.query,
            begun,
            result: Ok(reading.got),
        };
        self.tell_later(left, server, input);
    }

    fn write_files(&mut self, server: usize) {
        if !self.shares(server) {
            self.later(REWRITE, server, Deed::Write);
            return;
        }
        let machine = &mut self.machines[server];
        machine.writing = false;
        let states = std::mem::take(&mut machine.states);
        if let Some(views) = machine.views.take() {
            self.share.files = Some(views);
        }
        for (function, record) in states {
            if let Some(function) = self.cluster.find(&function) {
                self.share.write_state(function, record);
            }
        }
    }

    pub(super) fn own_vip(&mut self, server: usize, order: VipOrder) {
        let kept = self.sabotage == Some(Sabotage::Lifetimes);
        let lives = |until: Now| if kept { until + FOREVER } else { until };
        let now = self.now;
        let machine = &mut self.machines[server];
        match order {
            VipOrder::Take(until) => {
                let until = machine.moment(until);
                let result = if until > now {
                    machine.vip = lives(until);
                    self.look_at_vip(server, server, until);
                    Ok(())
                } else {
                    Err("the grant ran out meanwhile".to_owned())
                };
                self.feed(server, Input::VipTaken(result));
            }
            VipOrder::Keep(until) => {
                if machine.vip <= now {
                    self.feed(server, Input::VipDropped);
                } else {
                    let until = machine.moment(until);
                    machine.vip = lives(until);
                    self.look_at_vip(server, server, until);
                }
            }
            VipOrder::Drop => {
                machine.vip = Now::default();
                self.feed(server, Input::VipDropped);
            }
        }
    }

    fn guest(&mut self, server: usize, function: usize, order: VmOrder) {
        let name: ServerName = self.cluster.names[function].clone();
        let room = self.cluster.room_kb[server];
        let need = self.cluster.vm_memory_kb;
        let t_va = self.cluster.settings.timings.t_va;
        let machine = &mut self.machines[server];
        let taken = u64::try_from(machine.loaded()).unwrap_or(0);
        let fits = machine.slots[function].state.is_some() || room >= (taken + 1) * need;
        let running = matches!(machine.slots[function].state, Some(VmState::Running { .. }));
        match order {
            VmOrder::Start => {
                let result = if !machine.starts_vms {
                    Err("the hypervisor does not start it".to_owned())
                } else if machine.vm_delay >= t_va {
                    Err("not activated in time".to_owned())
                } else if !fits {
                    Err("no memory".to_owned())
                } else {
                    let vip = machine.vm_vip(function);
                    machine.slots[function].state = Some(VmState::Running { vip });
                    Ok(())
                };
                let function = name;
                self.feed(server, Input::VmStarted { function, result });
            }
            VmOrder::SetVip(until) => {
                let result = if running {
                    self.set_vm_vip(server, function, until);
                    Ok(())
                } else {
                    Err("there is no such VM".to_owned())
                };
                let function = name;
                self.feed(server, Input::VmVipSet { function, result });
            }
            VmOrder::KeepVip(until) => {
                if running {
                    self.set_vm_vip(server, function, until);
                }
            }
            VmOrder::Release => {
                let keeps = self.sabotage == Some(Sabotage::Release);
                let state = &mut machine.slots[function].state;
                match state {
                    Some(VmState::Running { vip }) if keeps => *vip = self.now + FOREVER,
                    _ => *state = None,
                }
                self.feed(server, Input::VmReleased { function: name });
            }
            VmOrder::Load if self.cluster.settings.activation == Activation::Restore => {
                // A state in the page cache is no machine; the figures are those of the paper's.
                let (function, loaded) = (name, machine.loads_states);
                self.feed(server, Input::Standby { function, loaded });
            }
            VmOrder::Load => {
                let state = &mut machine.slots[function].state;
                if state.is_none() && fits && machine.loads_states {
                    *state = Some(VmState::Standby);
                }
                let loaded = *state == Some(VmState::Standby);
                let function = name;
                self.feed(server, Input::Standby { function, loaded });
            }
            VmOrder::Unload => {
                let state = &mut machine.slots[function].state;
                if *state == Some(VmState::Standby) {
                    *state = None;
                }
            }
        }
    }

    fn set_vm_vip(&mut self, server: usize, function: usize, until: Now) {
        let machine = &mut self.machines[server];
        let until = machine.moment(until);
        let kept = self.sabotage == Some(Sabotage::VmLifetimes);
        let vip = if kept { until + FOREVER } else { until };
        machine.slots[function].state = Some(VmState::Running { vip });
        if until > self.now {
            self.look_at_vip(server, function, until);
        }
    }
}
