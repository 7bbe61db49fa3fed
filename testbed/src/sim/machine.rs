//! A machine as others see it: power, network, services, backup VMs, and the agent.

use std::collections::BTreeMap;
use std::time::Duration;

use ringward::cluster::{Epoch, ServerName};
use ringward::manage::claim::Record;
use ringward::manage::{Management, Now, Views};

use super::happening::Happening;

/// What ails the services of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Illness {
    /// Stopped; a restart of the service helps.
    Stopped,
    /// Takes connections and says nothing; a restart of the service helps.
    Hung,
    /// Stopped; only a restart of the server helps.
    Broken,
    /// Stopped; only a human helps.
    Lost,
}

/// What a backup VM, or its golden state, does on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VmState {
    /// Loaded and paused.
    Standby,
    /// Runs; it has the VIP until then.
    Running {
        /// When its kernel takes the VIP off.
        vip: Now,
    },
}

/// A backup VM's place on a host.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) state: Option<VmState>,
    /// When the lane of orders about it is free.
    pub(super) free: Now,
}

/// A node, or a whole machine, that stands still.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) since: Now,
    /// The machine itself: nothing on it answers.
    pub(super) frozen: bool,
    /// What waits until it goes on.
    pub(super) held: Vec<Happening>,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) agent: Option<Box<Management>>,
    /// Counts starts and ends of the agent: what an earlier one asked for finds nobody.
    pub(super) run: u64,
    /// Counts power cycles.
    pub(super) boot: u64,
    pub(super) powered: bool,
    pub(super) network: bool,
    pub(super) illness: Option<Illness>,
    /// Its services come up during a boot only at its end.
    pub(super) booting: bool,
    pub(super) wakes: bool,
    pub(super) starts_vms: bool,
    pub(super) loads_states: bool,
    /// Added to each activation here.
    pub(super) vm_delay: Duration,
    /// Turns of a flapping service; an older one is over.
    pub(super) flap: u64,
    pub(super) flapping: bool,
    pub(super) stall: Option<Stall>,
    /// The own VIP is here until then.
    pub(super) vip: Now,
    pub(super) vip_free: Now,
    pub(super) slots: Vec<Slot>,
    /// States and management files that are still to be written to the share.
    pub(super) states: BTreeMap<ServerName, Record>,
    pub(super) views: Option<Views>,
    pub(super) writing: bool,
    /// When the last reading of each function began that the agent was told of.
    pub(super) read: Vec<Now>,
    /// The newest epoch of each function that the agent was seen to know.
    pub(super) epochs: Vec<(ServerName, Epoch)>,
    /// How much news it had had then.
    pub(super) news: u64,
    /// The moment that the node's clock counts from.
    pub(super) zero: Now,
    /// How much it jumped ahead since.
    pub(super) ahead: Duration,
    /// When the next tick is due, and the one that is queued.
    pub(super) due: Now,
    pub(super) tick: Option<Now>,
}

impl Machine {
    pub(super) fn new(n: usize) -> Self {
        Self {
            agent: None,
            run: 0,
            boot: 0,
            powered: true,
            network: true,
            illness: None,
            booting: false,
            wakes: true,
            starts_vms: true,
            loads_states: true,
            vm_delay: Duration::ZERO,
            flap: 0,
            flapping: false,
            stall: None,
            vip: Now::default(),
            vip_free: Now::default(),
            slots: vec![Slot::default(); n],
            states: BTreeMap::new(),
            views: None,
            writing: false,
            read: vec![Now::default(); n],
            epochs: Vec::new(),
            news: 0,
            zero: Now::default(),
            ahead: Duration::ZERO,
            due: Now::default(),
            tick: None,
        }
    }

    /// The node's clock.
    pub(super) fn clock(&self, now: Now) -> Now {
        Now(now.since(self.zero) + self.ahead)
    }

    /// When the node's clock shows `until`.
    pub(super) fn moment(&self, until: Now) -> Now {
        Now(self.zero.0 + until.0.saturating_sub(self.ahead))
    }

    /// Whether it answers on the network.
    pub(super) fn answers(&self) -> bool {
        self.powered && self.network && !self.is_frozen()
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.stall.as_ref().is_some_and(|stall| stall.frozen)
    }

    /// Whether its services answer.
    pub(super) fn serves(&self) -> bool {
        self.answers() && !self.booting && self.illness.is_none()
    }

    /// Whether a backup VM of `function` runs here and has the VIP.
    pub(super) fn vm_vip(&self, function: usize) -> Now {
        match self.slots[function].state {
            Some(VmState::Running { vip }) => vip,
            _ => Now::default(),
        }
    }

    /// How many golden states and VMs take memory here.
    pub(super) fn loaded(&self) -> usize {
        let taken = self.slots.iter().filter(|slot| slot.state.is_some());
        taken.count()
    }

    pub(super) fn running(&self) -> usize {
        let runs = |slot: &&Slot| matches!(slot.state, Some(VmState::Running { .. }));
        self.slots.iter().filter(runs).count()
    }
}
