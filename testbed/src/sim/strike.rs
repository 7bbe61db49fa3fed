//! What befalls the cluster.

use std::time::Duration;

use ringward::manage::{Input, Now};

use super::fault::{Fault, OnServer, OnShare, OnWay, Timed};
use super::happening::{Happening, Stage};
use super::log::What;
use super::machine::{Illness, Stall};
use super::network::Weather;
use super::share::{Health, States};
use super::world::World;

/// A started machine answers pings so long before its services are up.
const NETWORK_FIRST: Duration = Duration::from_secs(3);
/// A dead agent is started again after this.
const AGENT_RESTART: Duration = Duration::from_secs(1);

impl World {
    /// Lets a fault strike.
    pub(super) fn strike(&mut self, fault: &Fault) {
        if self.log.is_some() {
            let name = |at: usize| self.cluster.name(at).to_owned();
            let text = fault.to_text(name);
            self.note(
                fault.server().unwrap_or(self.cluster.len()),
                What::Fault(text),
            );
        }
        self.look_at_fault(fault);
        match fault {
            Fault::Server(what, server) => self.strike_server(*what, *server),
            Fault::Timed(what, server, seconds) => {
                let time = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                self.strike_for(*what, *server, time);
            }
            Fault::Way(what, a, b) => {
                let (there, back) = match what {
                    OnWay::Cut => (true, true),
                    OnWay::CutOneWay => (true, !self.network.leads(*b, *a)),
                    OnWay::Join => (false, false),
                };
                self.network.set(*a, *b, there);
                self.network.set(*b, *a, back);
            }
            Fault::Partition(side) => {
                let n = self.cluster.len();
                for a in 0..=n {
                    for b in 0..=n {
                        if side.contains(&a) != side.contains(&b) {
                            self.network.set(a, b, true);
                        }
                    }
                }
            }
            Fault::Network(weather) => self.network.weather = *weather,
            Fault::Share(what) => self.strike_share(*what),
            Fault::ShareSlow(seconds) => {
                let most = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                self.share.health = Health::Slow(most);
            }
            Fault::Heal => self.heal(),
        }
    }

    fn strike_server(&mut self, what: OnServer, server: usize) {
        let ill = |illness| Some(illness);
        match what {
            OnServer::PowerOff => self.power_off(server),
            OnServer::PowerOn => self.power_on(server, self.cluster.times.start),
            OnServer::Restart => {
                self.power_off(server);
                self.power_on(server, self.cluster.times.restart);
            }
            OnServer::Freeze => {
                let since = self.now;
                let machine = &mut self.machines[server];
                if machine.answers() {
                    let held = machine.stall.take().map(|stall| stall.held);
                    machine.stall = Some(Stall {
                        since,
                        frozen: true,
                        held: held.unwrap_or_default(),
                    });
                }
            }
            OnServer::Thaw => self.go_on(server),
            OnServer::AgentCrash | OnServer::AgentDeath => {
                let machine = &self.machines[server];
                if machine.agent.is_none() || machine.is_frozen() {
                    return;
                }
                let boot = machine.boot;
                self.end_agent(server);
                if what == OnServer::AgentCrash {
                    self.after(AGENT_RESTART, Happening::AgentStarts { server, boot });
                }
            }
            OnServer::AgentStart => self.revive(server),
            OnServer::ServiceStop => self.machines[server].illness = ill(Illness::Stopped),
            OnServer::ServiceHang => self.machines[server].illness = ill(Illness::Hung),
            OnServer::ServiceBreak => self.machines[server].illness = ill(Illness::Broken),
            OnServer::ServiceLoss => self.machines[server].illness = ill(Illness::Lost),
            OnServer::Repair => self.repair(server),
            OnServer::VmFailure => self.machines[server].starts_vms = false,
            OnServer::StandbyFailure => self.machines[server].loads_states = false,
            OnServer::WolFailure => self.machines[server].wakes = false,
        }
    }

    fn strike_for(&mut self, what: Timed, server: usize, time: Duration) {
        let now = self.now;
        let machine = &mut self.machines[server];
        match what {
            Timed::Late => {
                if machine.agent.is_some() && machine.stall.is_none() {
                    machine.stall = Some(Stall {
                        since: now,
                        frozen: false,
                        held: Vec::new(),
                    });
                    self.after(time, Happening::GoesOn { server, since: now });
                }
            }
            Timed::ClockJump => {
                machine.ahead += time;
                if machine.agent.is_some() && machine.stall.is_none() {
                    self.wake(server, time);
                }
            }
            Timed::ServiceFlap => {
                machine.flap += 1;
                machine.flapping = true;
                let (turn, every) = (machine.flap, time.max(Duration::from_millis(100)));
                self.flap(server, turn, every);
            }
            Timed::VmSlow => machine.vm_delay = time,
        }
    }

    pub(super) fn flap(&mut self, server: usize, turn: u64, every: Duration) {
        let machine = &mut self.machines[server];
        if !machine.flapping || machine.flap != turn {
            return;
        }
        machine.illness = match machine.illness {
            None => Some(Illness::Stopped),
            Some(_) => None,
        };
        self.after(
            every,
            Happening::Flap {
                server,
                turn,
                every,
            },
        );
    }

    fn strike_share(&mut self, what: OnShare) {
        match what {
            OnShare::Away => self.share.health = Health::Away,
            OnShare::Hang => self.share.health = Health::Hung,
            OnShare::Torn => self.share.states = States::Torn,
            OnShare::Stale => self.share.states = States::Old,
            OnShare::Back => {
                self.share.health = Health::Well;
                self.share.states = States::Whole;
            }
        }
    }

    /// Power is gone, and all with it.
    pub(super) fn power_off(&mut self, server: usize) {
        self.end_agent(server);
        let machine = &mut self.machines[server];
        machine.boot += 1;
        machine.powered = false;
        machine.network = false;
        machine.booting = false;
        machine.vip = Now::default();
        for slot in &mut machine.slots {
            slot.state = None;
        }
    }

    /// A machine that is off starts; its services answer after `takes`.
    pub(super) fn power_on(&mut self, server: usize, takes: Duration) {
        let machine = &mut self.machines[server];
        if machine.powered {
            return;
        }
        machine.powered = true;
        machine.booting = true;
        let boot = machine.boot;
        let stages = [
            (takes.saturating_sub(NETWORK_FIRST), Stage::Network),
            (takes, Stage::Services),
        ];
        for (after, stage) in stages {
            self.after(
                after,
                Happening::Boot {
                    server,
                    boot,
                    stage,
                },
            );
        }
    }

    /// A machine or node that stood still goes on, with all that came meanwhile.
    pub(super) fn go_on(&mut self, server: usize) {
        let Some(stall) = self.machines[server].stall.take() else {
            return;
        };
        self.wake(server, self.now.since(stall.since));
        for happening in stall.held {
            self.after(Duration::from_millis(1), happening);
        }
    }

    /// The first thing that a node does after it was late, if it was by much, is to tell.
    fn wake(&mut self, server: usize, late: Duration) {
        if late > self.cluster.settings.timings.late {
            self.feed(server, Input::Late(late));
        }
        self.feed(server, Input::Tick);
    }

    /// Starts an agent on a machine that has none and runs.
    fn revive(&mut self, server: usize) {
        let machine = &self.machines[server];
        if machine.powered && !machine.booting && machine.agent.is_none() {
            let boot = machine.boot;
            let after = Duration::from_millis(100);
            self.after(after, Happening::AgentStarts { server, boot });
        }
    }

    fn repair(&mut self, server: usize) {
        self.go_on(server);
        let machine = &mut self.machines[server];
        machine.illness = None;
        machine.flapping = false;
        machine.wakes = true;
        machine.starts_vms = true;
        machine.loads_states = true;
        machine.vm_delay = Duration::ZERO;
        self.power_on(server, self.cluster.times.start);
        self.revive(server);
    }

    fn heal(&mut self) {
        self.network.heal();
        self.network.weather = Weather::default();
        self.share.health = Health::Well;
        self.share.states = States::Whole;
        for server in 0..self.cluster.len() {
            self.repair(server);
        }
    }
}
