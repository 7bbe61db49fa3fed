//! What the decisions of a server want is begun.

use std::time::Duration;

use ringward::manage::placement::Sample;
use ringward::manage::{ClaimResult, Input, Message, Now, Output, Query};

use super::happening::{Deed, Reading, VipOrder, VmOrder};
use super::log::What;
use super::machine::VmState;
use super::share::{Health, Stored};
use super::world::{Sabotage, World};

/// A request to the share, there and back.
const REQUEST: Duration = Duration::from_millis(10);
/// The agent's deadline for claims, and for readings but those for its own grant.
const DEADLINE: Duration = Duration::from_secs(1);
/// Until a VIP is set: a probe for a duplicate, and the kernel.
pub(super) const SET_VIP: Duration = Duration::from_millis(120);
/// A command to a service or a VM.
const COMMAND: Duration = Duration::from_millis(100);
/// Requests that are on their way when their deadline passes, and are carried out all the same;
/// per mille.
pub(super) const ON_THEIR_WAY: u32 = 250;

impl World {
    pub(super) fn carry_out(&mut self, server: usize, output: Output) {
        match output {
            Output::Log(_) => self.log_output(server, output),
            Output::Send { to, message } => self.send(server, &to, message),
            Output::Ping { id, within, .. } => {
                let ends = self.now + within;
                self.later(Duration::from_millis(1), server, Deed::Ping { id, ends });
            }
            Output::Probe {
                id,
                service,
                within,
                ..
            } => {
                let ends = self.now + within;
                let deed = Deed::Probe { id, service, ends };
                self.later(Duration::from_millis(1), server, deed);
            }
            Output::Claim(claim) => {
                let delay = self.request();
                let heard = delay <= DEADLINE;
                if !heard {
                    let result = ClaimResult::Failed("no answer in time".to_owned());
                    let claim = claim.clone();
                    self.tell_later(DEADLINE, server, Input::Claimed { claim, result });
                }
                if delay / 2 <= DEADLINE || self.random.chance(ON_THEIR_WAY) {
                    let done = self.now + delay;
                    self.later(delay / 2, server, Deed::Claim { claim, done, heard });
                }
            }
            Output::ReadClaims(query) => self.read(server, query),
            Output::WriteState(record) => {
                let machine = &mut self.machines[server];
                machine.states.insert(record.claim.function.clone(), record);
                self.write(server);
            }
            Output::WriteViews(views) => {
                self.machines[server].views = Some(views);
                self.write(server);
            }
            Output::TakeVip { until } => self.vip(server, SET_VIP, VipOrder::Take(until)),
            Output::KeepVip { until } => self.keep_vip(server, until),
            Output::DropVip => self.vip(server, Duration::from_millis(3), VipOrder::Drop),
            Output::StartVm { function } => {
                let Some(function) = self.cluster.find(&function) else {
                    return;
                };
                self.look_at_start(server, function);
                if self.sabotage == Some(Sabotage::Activation) {
                    return;
                }
                let standby = self.machines[server].slots[function].state == Some(VmState::Standby);
                let times = &self.cluster.times;
                let takes = if standby {
                    times.resume
                } else {
                    times.activation
                };
                // The figures count until the VIP is set.
                let takes = takes.saturating_sub(SET_VIP) + self.machines[server].vm_delay;
                let takes = takes.min(self.cluster.settings.timings.t_va);
                self.vm(server, function, takes, VmOrder::Start);
            }
            Output::SetVmVip { function, until } => {
                let takes = SET_VIP + self.machines[server].vm_delay;
                self.vm_named(server, &function, takes, VmOrder::SetVip(until));
            }
            Output::KeepVmVip { function, until } => {
                self.vm_named(server, &function, COMMAND / 2, VmOrder::KeepVip(until));
            }
            Output::ReleaseVm { function } => {
                self.vm_named(server, &function, COMMAND, VmOrder::Release);
            }
            Output::Standby { function, load } => {
                let (takes, order) = if load {
                    (self.cluster.times.load, VmOrder::Load)
                } else {
                    (COMMAND, VmOrder::Unload)
                };
                self.vm_named(server, &function, takes, order);
            }
            Output::RestartServices => {
                let restarted = Input::ServicesRestarted(Ok(()));
                self.tell_later(COMMAND * 3 / 2, server, restarted);
            }
            Output::Reboot => {
                self.note(server, What::Power("reboots"));
                self.power_off(server);
                self.power_on(server, self.cluster.times.restart);
            }
            Output::Wake(mac) => {
                let Some(target) = self.cluster.by_mac(mac) else {
                    return;
                };
                let machine = &self.machines[target];
                if !machine.powered && machine.wakes && self.network.leads(server, target) {
                    self.note(target, What::Power("wakes up"));
                    self.power_on(target, self.cluster.times.start);
                }
            }
            Output::WriteCondition(_) | Output::RaiseFlag => {}
        }
    }

    fn send(&mut self, server: usize, to: &ringward::cluster::ServerName, message: Message) {
        let Some(to) = self.cluster.find(to) else {
            return;
        };
        let lost = match self.sabotage {
            Some(Sabotage::Words) => matches!(message, Message::GiveWord { .. }),
            Some(Sabotage::Homecoming) => {
                let asks = matches!(message, Message::Ask { .. });
                asks && self.share.newest(server).is_some_and(Stored::is_away)
            }
            _ => false,
        };
        let there = self.machines[to].powered && self.machines[to].network;
        if lost || !there || !self.network.leads(server, to) {
            return;
        }
        let from = self.cluster.names[server].clone();
        let mut message = Some(message);
        let copies = self.network.copies(&mut self.random);
        for copy in 1..=copies {
            let last = copy == copies;
            let next = if last {
                message.take()
            } else {
                message.clone()
            };
            let Some(message) = next else { return };
            let way = self.network.way(&mut self.random);
            let from = from.clone();
            self.tell_later(way, to, Input::Message { from, message });
        }
    }

    /// How long a request to the share takes.
    fn request(&mut self) -> Duration {
        match self.share.health {
            Health::Slow(most) => REQUEST + self.random.between(Duration::ZERO, most),
            _ => REQUEST,
        }
    }

    fn read(&mut self, server: usize, query: Query) {
        let delay = self.request();
        let begun = self.machines[server].clock(self.now);
        let within = self.within(server, &query);
        if delay > within {
            let result = Err("no answer in time".to_owned());
            let input = Input::Claims {
                query,
                begun,
                result,
            };
            self.tell_later(within, server, input);
            return;
        }
        let reading = Reading {
            query,
            begun,
            done: self.now + delay,
            next: 0,
            got: Vec::new(),
        };
        self.later(delay / 3, server, Deed::Read(reading));
    }

    /// How long the agent waits for a reading.
    fn within(&self, server: usize, query: &Query) -> Duration {
        match query {
            Query::One(function) if *function == self.cluster.names[server] => {
                self.cluster.settings.timings.read_within()
            }
            _ => DEADLINE,
        }
    }

    /// The agent learns that a request to the share had no answer, once its deadline is over.
    pub(super) fn no_answer(&mut self, server: usize, done: Now, input: Input) {
        let within = match &input {
            Input::Claims { query, .. } => self.within(server, query),
            _ => DEADLINE,
        };
        let begun = Now(done.0.saturating_sub(REQUEST));
        let left = (begun + within).since(self.now);
        self.tell_later(left, server, input);
    }

    /// Has states and management files written, one writing at a time.
    fn write(&mut self, server: usize) {
        if !self.machines[server].writing {
            self.machines[server].writing = true;
            let delay = self.request();
            self.later(delay / 2, server, Deed::Write);
        }
    }

    /// An order about the own VIP; they are carried out one after the other.
    fn vip(&mut self, server: usize, takes: Duration, order: VipOrder) {
        let machine = &mut self.machines[server];
        let done = machine.vip_free.max(self.now) + takes;
        machine.vip_free = done;
        self.later(done.since(self.now), server, Deed::Vip(order));
    }

    /// A VIP that is held is renewed at once, unless the order before is still carried out.
    fn keep_vip(&mut self, server: usize, until: Now) {
        let machine = &self.machines[server];
        if machine.vip > self.now && machine.vip_free <= self.now {
            self.own_vip(server, VipOrder::Keep(until));
        } else {
            self.vip(server, Duration::from_millis(1), VipOrder::Keep(until));
        }
    }

    fn vm_named(
        &mut self,
        server: usize,
        function: &ringward::cluster::ServerName,
        takes: Duration,
        order: VmOrder,
    ) {
        if let Some(function) = self.cluster.find(function) {
            self.vm(server, function, takes, order);
        }
    }

    /// An order about a backup VM; those about one are carried out one after the other.
    fn vm(&mut self, server: usize, function: usize, takes: Duration, order: VmOrder) {
        let slot = &mut self.machines[server].slots[function];
        let done = slot.free.max(self.now) + takes;
        slot.free = done;
        self.later(done.since(self.now), server, Deed::Vm { function, order });
    }

    /// The load of a server, as the agent would measure it.
    pub(super) fn sample(&self, server: usize) -> Sample {
        let machine = &self.machines[server];
        let loaded = u64::try_from(machine.loaded()).unwrap_or(0) * self.cluster.vm_memory_kb;
        let free = self.cluster.room_kb[server].saturating_sub(loaded);
        let free = u32::try_from(free / 1024).unwrap_or(u32::MAX);
        Sample {
            name: self.cluster.names[server].clone(),
            cores: 4.0,
            memory_kb: 16.0 * 1024.0 * 1024.0,
            rated_kb: 125_000.0,
            vm: u32::try_from(machine.running()).unwrap_or(u32::MAX),
            am: [f64::from(free) * 1024.0; 2],
            ac: [95.0; 2],
            an: [10.0; 2],
        }
    }
}
