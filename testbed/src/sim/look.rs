//! The audit's rules, each looked at where it could be broken.

use std::time::Duration;

use ringward::cluster::{ServerName, Topology};
use ringward::manage::{Event, Now, Query};

use super::audit::Rule;
use super::fault::{Fault, OnShare, Timed};
use super::happening::{Happening, Reading};
use super::machine::VmState;
use super::share::{Health, States};
use super::world::World;

/// How often the audit looks at what takes time.
const LOOK: Duration = Duration::from_secs(1);
/// Whether all is as at the start is looked at when the seconds are a multiple of this.
const HOME: u64 = 5;
/// Memory that a host keeps for itself, KB, as placement has it.
const RESERVE_KB: u64 = 64 * 1024;

impl World {
    /// A VIP was set or kept on a machine (`function` is its own) or on a VM that it hosts.
    pub(super) fn look_at_vip(&mut self, holder: usize, function: usize, until: Now) {
        let now = self.now;
        let mut owners = 0;
        let mut vms = 0;
        for (at, machine) in self.machines.iter().enumerate() {
            let vm = machine.vm_vip(function) > now;
            vms += usize::from(vm);
            owners += usize::from(vm) + usize::from(at == function && machine.vip > now);
        }
        let names = |world: &Self| world.owners(function).join(" and ");
        if vms > 1 {
            let text = names(self);
            self.audit.check(now, Rule::OneVm, false, || text);
        } else {
            self.audit.check(now, Rule::OneVm, true, String::new);
        }
        let text = if owners > 1 {
            names(self)
        } else {
            String::new()
        };
        self.audit.check(now, Rule::OneOwner, owners <= 1, || text);
        self.look_at_epoch(holder, function, until);
    }

    /// Who holds a VIP, in words.
    fn owners(&self, function: usize) -> Vec<String> {
        let mut names = Vec::new();
        let vip = self.cluster.name(function);
        for (at, machine) in self.machines.iter().enumerate() {
            if at == function && machine.vip > self.now {
                names.push(format!("{vip} at home"));
            }
            if machine.vm_vip(function) > self.now {
                names.push(format!("{vip}'s VM on {}", self.cluster.name(at)));
            }
        }
        names
    }

    /// Who holds a VIP under an epoch that is over lets go within the life of a grant.
    fn look_at_epoch(&mut self, holder: usize, function: usize, until: Now) {
        let Some(agent) = &self.machines[holder].agent else {
            return;
        };
        let timings = &self.cluster.settings.timings;
        let name = &self.cluster.names[function];
        let (epoch, ttl) = if holder == function {
            (agent.epoch(name), timings.grant_ttl)
        } else {
            (agent.guest_epoch(name).unwrap_or_default(), timings.vm_ttl)
        };
        let late = self.share.newest(function).filter(|newest| {
            newest.is_away() && newest.claim.epoch > epoch && until > newest.made + ttl
        });
        let text = late.map(|newest| {
            format!(
                "{} holds the VIP of {name} under epoch {epoch} until {:.3} s, {} claimed epoch {} \
                 at {:.3} s",
                self.cluster.name(holder),
                until.0.as_secs_f64(),
                newest.claim.owner,
                newest.claim.epoch,
                newest.made.0.as_secs_f64(),
            )
        });
        let holds = text.is_none();
        let text = || text.unwrap_or_default();
        self.audit.check(self.now, Rule::OldEpoch, holds, text);
    }

    /// A VM is started: the newest claim was read right before.
    pub(super) fn look_at_start(&mut self, host: usize, function: usize) {
        let machine = &self.machines[host];
        let name = &self.cluster.names[function];
        let agent = machine.agent.as_ref();
        let epoch = agent
            .and_then(|agent| agent.guest_epoch(name))
            .unwrap_or_default();
        let read = machine.read[function];
        let over = self.share.newest(function);
        let over = over.filter(|newest| newest.claim.epoch > epoch && newest.made < read);
        let text = over.map(|newest| {
            format!(
                "{} starts the VM of {name} under epoch {epoch}, epoch {} was there to be read",
                self.cluster.name(host),
                newest.claim.epoch,
            )
        });
        let holds = text.is_none();
        let text = || text.unwrap_or_default();
        self.audit.check(self.now, Rule::OldEpoch, holds, text);
    }

    /// A claim was tried.
    pub(super) fn look_at_claims(&mut self, function: usize) {
        let claims = self.share.claims(function);
        let rise = match claims {
            [.., before, last] => before.claim.epoch < last.claim.epoch,
            _ => true,
        };
        let name = self.cluster.name(function);
        let text = || format!("two claims on {name} under one epoch");
        self.audit.check(self.now, Rule::EpochsRise, rise, text);
    }

    /// A server may have learnt of claims.
    pub(super) fn look_at_epochs(&mut self, server: usize) {
        let machine = &mut self.machines[server];
        let Some(agent) = &machine.agent else { return };
        let mut fell = None;
        if agent.news() != std::mem::replace(&mut machine.news, agent.news()) {
            // Both go by name, and what is known of a function stays known.
            let mut now = agent.epochs();
            let mut known = machine.epochs.iter();
            let fallen = known.find(|(name, known)| {
                let now = now.find(|(function, _)| *function == name);
                now.is_none_or(|(_, epoch)| epoch < *known)
            });
            fell = fallen.map(|(name, _)| name.clone());
            let epochs = agent.epochs().map(|(name, epoch)| (name.clone(), epoch));
            machine.epochs.clear();
            machine.epochs.extend(epochs);
        }
        let text = || {
            let server = self.cluster.name(server);
            let function = fell.as_ref().map_or("", ServerName::as_str);
            format!("{server} fell back to an older epoch of {function}")
        };
        self.audit
            .check(self.now, Rule::EpochsRise, fell.is_none(), text);
    }

    /// A reading of claims is over.
    pub(super) fn look_at_reading(&mut self, server: usize, reading: &Reading) {
        for record in &reading.got {
            let Some(function) = self.cluster.find(&record.claim.function) else {
                continue;
            };
            let whole = self.share.was_written(function, record);
            let text = || format!("{} read {record:?}", self.cluster.name(server));
            self.audit.check(self.now, Rule::TornFile, whole, text);
        }
    }

    /// The agent is told what a reading showed.
    pub(super) fn look_at_answer(&mut self, server: usize, query: &Query, begun: Now) {
        let machine = &mut self.machines[server];
        let begun = machine.moment(begun);
        match query {
            Query::All => machine.read.fill(begun),
            Query::One(function) => {
                if let Some(function) = self.cluster.find(function) {
                    machine.read[function] = begun;
                }
            }
        }
    }

    /// A server logs something.
    pub(super) fn look_at_event(&mut self, server: usize, event: &Event) {
        if self.audit.only_share && matches!(event, Event::VipLetGo { .. }) {
            let text = || format!("{}: {event}", self.cluster.name(server));
            self.audit.check(self.now, Rule::ShareAway, false, text);
        }
    }

    /// Something befalls the cluster.
    pub(super) fn look_at_fault(&mut self, fault: &Fault) {
        let timings = &self.cluster.settings.timings;
        let (now, flap) = (self.now, timings.flap);
        self.audit.healing = None;
        if *fault == Fault::Heal {
            let lately = u32::try_from(self.strikes.len()).unwrap_or(u32::MAX).min(9);
            let hold = timings.hold_down * 2_u32.pow(lately);
            let back = timings.t_rc + 3 * timings.t_up + timings.t_home + hold;
            self.audit.healing = Some((now, self.audit.bound + back));
        } else {
            self.strikes.retain(|at| now.since(*at) < flap);
            // A service that flaps is many faults.
            let count = if matches!(fault, Fault::Timed(Timed::ServiceFlap, ..)) {
                9
            } else {
                1
            };
            self.strikes.extend(std::iter::repeat_n(now, count));
        }
        let share = match fault {
            Fault::Share(what) => *what != OnShare::Back,
            Fault::ShareSlow(_) => true,
            _ => false,
        };
        // What befell it just before may not have shown yet.
        let calm = now.since(self.audit.befell) >= timings.t_nd && self.is_as_at_the_start();
        self.audit.only_share = share && (self.audit.only_share || calm);
        self.audit.befell = now;
    }

    /// Once in a while: what takes time.
    pub(super) fn look(&mut self) {
        self.after(LOOK, Happening::Check);
        let now = self.now;
        if self.audit.only_share {
            let lacking = self.machines.iter().position(|machine| machine.vip <= now);
            let text = || {
                let server = lacking.unwrap_or_default();
                format!("{} holds its VIP no more", self.cluster.name(server))
            };
            self.audit
                .check(now, Rule::ShareAway, lacking.is_none(), text);
        }
        let clear = self.is_clear();
        for function in 0..self.cluster.len() {
            if !clear || self.is_served(function) || !self.could_be_served(function) {
                self.audit.lacking[function] = now;
            }
            let lacks = now.since(self.audit.lacking[function]);
            self.audit.longest = self.audit.longest.max(lacks);
            let (name, bound) = (self.cluster.name(function), self.audit.bound);
            let text = || format!("{name} has no owner for {:.0} s", lacks.as_secs_f64());
            self.audit.check(now, Rule::Served, lacks <= bound, text);
        }
        let Some((since, within)) = self.audit.healing else {
            return;
        };
        if now.0.as_secs() % HOME != 0 {
            return;
        }
        let took = now.since(since);
        let missing = self.missing();
        let home = missing.is_none();
        let missing = missing.unwrap_or_default();
        let text = || format!("not within {:.0} s: {missing}", within.as_secs_f64());
        self.audit
            .check(now, Rule::Healed, home || took <= within, text);
        if home {
            self.audit.slowest = self.audit.slowest.max(took);
            self.audit.healing = None;
        }
    }

    /// Whether nothing befalls the cluster at present but that machines are down or ill.
    fn is_clear(&self) -> bool {
        self.network.is_perfect()
            && self.share.health == Health::Well
            && self.share.states == States::Whole
            && self
                .machines
                .iter()
                .all(|m| m.stall.is_none() && !m.flapping)
    }

    /// Whether somebody who holds the VIP answers.
    pub(super) fn is_served(&self, function: usize) -> bool {
        let home = &self.machines[function];
        let vms = |machine: &super::machine::Machine| {
            machine.answers() && machine.vm_vip(function) > self.now
        };
        home.serves() && home.vip > self.now || self.machines.iter().any(vms)
    }

    /// Whether a server lives that could serve a function, and one that could have it done: in a star
    /// that is the head alone, and nobody for the head.
    fn could_be_served(&self, function: usize) -> bool {
        let star = self.cluster.settings.topology == Topology::Star;
        let head = &self.machines[0];
        if star && (function == 0 || head.agent.is_none() || head.booting) {
            return false;
        }
        if !self.is_anyone_in_the_group() {
            return false;
        }
        let t_va = self.cluster.settings.timings.t_va;
        let need = self.cluster.vm_memory_kb;
        self.machines.iter().enumerate().any(|(at, machine)| {
            if machine.agent.is_none() || machine.booting {
                return false;
            }
            if at == function {
                return machine.serves();
            }
            let taken = u64::try_from(machine.loaded()).unwrap_or(0) * need;
            let room = self.cluster.room_kb[at] >= taken + need + RESERVE_KB;
            let has = machine.slots[function].state.is_some();
            machine.starts_vms && machine.vm_delay < t_va && (room || has)
        })
    }

    /// Whether a server lives that may decide. Those that were claimed and came back wait for one:
    /// whoever has their functions may only be cut off from them.
    fn is_anyone_in_the_group(&self) -> bool {
        self.machines.iter().enumerate().any(|(at, machine)| {
            let agent = machine.agent.as_ref().filter(|_| !machine.booting);
            let name = &self.cluster.names[at];
            agent.is_some_and(|agent| agent.group().contains(name))
        })
    }

    /// Whether every server is at home, in the group, serves and holds its VIP, and no VM runs.
    pub(super) fn is_as_at_the_start(&self) -> bool {
        let still = self.machines.iter().any(|machine| machine.stall.is_some());
        self.network.is_perfect() && !still && self.missing().is_none()
    }

    /// What is not as at the start, in words.
    pub(super) fn missing(&self) -> Option<String> {
        let n = self.cluster.len();
        for (at, machine) in self.machines.iter().enumerate() {
            let name = self.cluster.name(at);
            let Some(agent) = &machine.agent else {
                return Some(format!("{name} has no agent"));
            };
            if !machine.serves() {
                return Some(format!("{name} does not serve"));
            }
            if machine.vip <= self.now || !agent.holds_vip() {
                return Some(format!("{name} does not hold its VIP"));
            }
            let group = agent.group().len();
            if group != n {
                return Some(format!("{name} sees {group} of {n} servers in the group"));
            }
            let runs =
                |slot: &super::machine::Slot| matches!(slot.state, Some(VmState::Running { .. }));
            if let Some(function) = machine.slots.iter().position(runs) {
                let vm = self.cluster.name(function);
                return Some(format!("{name} runs the VM of {vm}"));
            }
            let modes = agent.modes();
            let busy = modes.iter().find(|(_, _, mode)| mode != "Regular");
            if let Some((priority, target, mode)) = busy {
                return Some(format!("{name} {priority} {target}: {mode}"));
            }
        }
        let files = self.share.files.as_ref();
        let files = files.filter(|files| files.group.len() != n)?;
        let group = files.group.len();
        Some(format!("the group file has {group} of {n} servers"))
    }
}
