//! A small world in virtual time: several [`Management`]s, a share, machines that fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::cluster::{Group, ManagementData, ServerName, Service, Settings};
use crate::manage::claim::{Purpose, Record, State};
use crate::manage::{ClaimResult, Config, Event, ExamId, Input, Management, Now, Output, Query};

pub(super) const NAMES: [&str; 6] = ["mail", "web1", "ftp", "web2", "proxy", "login"];
const DAEMONS: [&str; 6] = [
    "postfix dovecot",
    "apache2",
    "vsftpd",
    "apache2",
    "squid",
    "ssh",
];

pub(super) fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Debug, Clone)]
enum Happening {
    Tick(ServerName),
    Input(ServerName, u64, Input),
    Claim(ServerName, u64, crate::manage::claim::Claim),
    Read(ServerName, u64, Query, Now),
    Network(ServerName),
    Service(ServerName),
    Agent(ServerName),
    Ping(ServerName, ExamId, Now),
    Probe(ServerName, ExamId, Service, Now),
}

/// A machine as others see it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) management: Option<Management>,
    pub(super) boot: u64,
    pub(super) network: bool,
    pub(super) service: bool,
    pub(super) powered: bool,
    /// Restarting the services brings them back.
    pub(super) curable: bool,
    pub(super) wakes: bool,
    booting: bool,
    due: Now,
}

#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) boot_ms: u64,
    pub(super) activation_ms: u64,
    pub(super) load_ms: u64,
}

pub(super) struct World {
    pub(super) now: Now,
    queue: BTreeMap<(Now, u64), Happening>,
    serial: u64,
    pub(super) machines: BTreeMap<ServerName, Machine>,
    pub(super) share: BTreeMap<ServerName, Vec<Record>>,
    pub(super) share_up: bool,
    /// Who holds each VIP until when: (function, server).
    pub(super) holders: BTreeMap<(ServerName, ServerName), Now>,
    pub(super) vms: BTreeSet<(ServerName, ServerName)>,
    pub(super) log: Vec<(Now, ServerName, Event)>,
    /// Every examination: when, by whom, of whom.
    pub(super) looks: Vec<(Now, ServerName, ExamId)>,
    pub(super) times: Times,
    pub(super) cut: BTreeSet<(ServerName, ServerName)>,
    pub(super) loss: u64,
    /// Hosts that cannot load golden states.
    pub(super) unable: BTreeSet<ServerName>,
    /// When the last start of a VM ends: a host does one thing with a VM after the other.
    starting: BTreeMap<(ServerName, ServerName), Now>,
    /// Frozen machines, and what waits for them.
    frozen: BTreeMap<ServerName, Vec<(u64, Input)>>,
    random: u64,
    settings: Settings,
    base: Group,
    data: BTreeMap<ServerName, ManagementData>,
    recent: VecDeque<(Now, ServerName, Input)>,
}

impl World {
    pub(super) fn new(n: usize, settings: Settings) -> Self {
        let mut group = String::new();
        let mut data = BTreeMap::new();
        for (i, server) in NAMES[..n].iter().enumerate() {
            let at = i + 1;
            group.push_str(&format!("{at} {server} {server}.dat\n"));
            let text = format!(
                "172.21.14.20{at}\n{server}\n172.21.14.{at}\n00:00:00:00:00:0{at}\n{}\n\
                 NETWORK\n{server}b\n172.21.14.10{at}\n",
                DAEMONS[i]
            );
            data.insert(name(server), ManagementData::parse("x.dat", &text).unwrap());
        }
        let mut world = Self {
            now: Now::default(),
            queue: BTreeMap::new(),
            serial: 0,
            machines: BTreeMap::new(),
            share: BTreeMap::new(),
            share_up: true,
            holders: BTreeMap::new(),
            vms: BTreeSet::new(),
            log: Vec::new(),
            looks: Vec::new(),
            times: Times {
                boot_ms: 56_670,
                activation_ms: 900,
                load_ms: 14_000,
            },
            cut: BTreeSet::new(),
            loss: 0,
            unable: BTreeSet::new(),
            starting: BTreeMap::new(),
            frozen: BTreeMap::new(),
            random: 1,
            settings,
            base: Group::parse("group", &group).unwrap(),
            data,
            recent: VecDeque::new(),
        };
        for server in NAMES[..n].iter().map(|server| name(server)) {
            let machine = Machine {
                management: None,
                boot: 0,
                network: true,
                service: true,
                powered: true,
                curable: true,
                wakes: true,
                booting: false,
                due: Now::default(),
            };
            world.machines.insert(server.clone(), machine);
            world.at(0, Happening::Agent(server));
        }
        world
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < per_mille
    }

    fn at(&mut self, after_ms: u64, happening: Happening) {
        self.serial += 1;
        self.queue
            .insert((self.now + ms(after_ms), self.serial), happening);
    }

    pub(super) fn run_until(&mut self, seconds: f64) {
        let end = Now(Duration::from_secs_f64(seconds));
        while let Some((&(at, _), _)) = self.queue.first_key_value() {
            if at > end {
                break;
            }
            let Some(((at, _), happening)) = self.queue.pop_first() else {
                break;
            };
            self.now = at;
            self.happen(happening);
            self.check();
        }
        self.now = end;
    }

    fn alive(&self, server: &ServerName, boot: u64) -> bool {
        let machine = &self.machines[server];
        machine.powered && machine.boot == boot && machine.management.is_some()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(server) => {
                let machine = &self.machines[&server];
                if machine.due <= self.now {
                    self.feed(&server, Input::Tick);
                }
            }
            Happening::Input(server, boot, input) if self.frozen.contains_key(&server) => {
                if let Some(waiting) = self.frozen.get_mut(&server) {
                    waiting.push((boot, input));
                }
            }
            Happening::Input(server, boot, input) => {
                if self.alive(&server, boot) {
                    self.done(&server, &input);
                    self.feed(&server, input);
                }
            }
            Happening::Claim(server, boot, claim) => {
                if !self.alive(&server, boot) {
                    return;
                }
                let result = self.claim(&server, &claim);
                let input = Input::Claimed { claim, result };
                self.at(10, Happening::Input(server, boot, input));
            }
            Happening::Read(server, boot, query, begun) => {
                let result = if self.share_up && self.linked(&server, &name("share")) {
                    let newest = |records: &Vec<Record>| records.last().cloned();
                    Ok(match &query {
                        Query::All => self.share.values().filter_map(newest).collect(),
                        Query::One(f) => self.share.get(f).and_then(newest).into_iter().collect(),
                    })
                } else {
                    Err("no answer".to_owned())
                };
                let input = Input::Claims {
                    query,
                    begun,
                    result,
                };
                self.at(5, Happening::Input(server, boot, input));
            }
            Happening::Network(server) => self.machine(&server).network = true,
            Happening::Service(server) => {
                self.machine(&server).service = true;
                self.machine(&server).booting = false;
            }
            Happening::Agent(server) => self.start_agent(&server),
            Happening::Ping(server, id, end) => {
                let there = self.machines[&id.target].powered && self.machines[&id.target].network;
                let ok = there
                    && !self.frozen.contains_key(&id.target)
                    && self.linked(&server, &id.target)
                    && self.linked(&id.target, &server);
                let boot = self.machines[&server].boot;
                let input = Input::Pinged { id, ok };
                let after = if ok {
                    9
                } else {
                    end.since(self.now).as_millis() as u64
                };
                self.at(after, Happening::Input(server, boot, input));
            }
            Happening::Probe(server, id, service, end) => {
                let machine = &self.machines[&id.target];
                let ok = machine.powered
                    && machine.network
                    && machine.service
                    && !self.frozen.contains_key(&id.target)
                    && self.linked(&id.target, &server)
                    && self.linked(&server, &id.target);
                let boot = self.machines[&server].boot;
                let input = Input::Probed { id, service, ok };
                let after = if ok {
                    60
                } else {
                    end.since(self.now).as_millis() as u64
                };
                self.at(after, Happening::Input(server, boot, input));
            }
        }
    }

    /// What an effect's end means for the world.
    fn done(&mut self, server: &ServerName, input: &Input) {
        match input {
            Input::VipDropped => {
                self.holders.remove(&(server.clone(), server.clone()));
            }
            Input::VmStarted {
                function,
                result: Ok(()),
            } => {
                self.vms.insert((function.clone(), server.clone()));
            }
            Input::VmReleased { function } => {
                self.vms.remove(&(function.clone(), server.clone()));
                self.holders.remove(&(function.clone(), server.clone()));
            }
            Input::ServicesRestarted(_) if self.machines[server].curable => {
                self.machine(server).service = true;
            }
            _ => {}
        }
    }

    fn claim(&mut self, server: &ServerName, claim: &crate::manage::claim::Claim) -> ClaimResult {
        if !self.share_up || !self.linked(server, &name("share")) {
            return ClaimResult::Failed("no answer".to_owned());
        }
        let own = self.share.get(server).and_then(|records| records.last());
        if let Some(own) = own.filter(|own| own.is_away() && own.claim.owner != *server) {
            if claim.purpose == Purpose::Recover {
                return ClaimResult::Lost(own.clone());
            }
        }
        let records = self.share.entry(claim.function.clone()).or_default();
        match records.last() {
            Some(last) if last.claim == *claim => ClaimResult::Won,
            Some(last) if last.claim.epoch >= claim.epoch => ClaimResult::Lost(last.clone()),
            _ => {
                records.push(Record {
                    claim: claim.clone(),
                    state: State::default(),
                });
                ClaimResult::Won
            }
        }
    }

    fn feed(&mut self, server: &ServerName, input: Input) {
        if self.frozen.contains_key(server) {
            return;
        }
        let now = self.now;
        let machine = self.machine(server);
        let Some(management) = machine.management.as_mut().filter(|_| machine.powered) else {
            return;
        };

        let seen = (now, server.clone(), input.clone());
        let outputs = management.handle(now, input);
        let due = management.next_deadline().max(now + ms(1));
        machine.due = due;
        self.recent.push_back(seen);
        if self.recent.len() > 400 {
            self.recent.pop_front();
        }
        self.serial += 1;
        self.queue
            .insert((due, self.serial), Happening::Tick(server.clone()));
        for output in outputs {
            self.carry_out(server, output);
        }
    }

    fn linked(&self, a: &ServerName, b: &ServerName) -> bool {
        !self.cut.contains(&(a.clone(), b.clone()))
    }

    fn carry_out(&mut self, server: &ServerName, output: Output) {
        let boot = self.machines[server].boot;
        let me = server.clone();
        let reply = |after, input| (after, Happening::Input(me.clone(), boot, input));
        let (after, happening) = match output {
            Output::Log(event) => {
                self.log.push((self.now, server.clone(), event));
                return;
            }
            Output::Send { to, message } => {
                let lost = self.loss > 0 && self.chance(self.loss);
                let up = self.machines[&to].powered && self.machines[&to].network;
                let heard = self.machines[server].network;
                if lost || !up || !heard || !self.linked(server, &to) {
                    return;
                }
                let boot = self.machines[&to].boot;
                (
                    1,
                    Happening::Input(
                        to,
                        boot,
                        Input::Message {
                            from: server.clone(),
                            message,
                        },
                    ),
                )
            }
            Output::Ping { id, within, .. } => {
                self.looks.push((self.now, me.clone(), id.clone()));
                (1, Happening::Ping(me, id, self.now + within))
            }
            Output::Probe {
                id,
                service,
                within,
                ..
            } => (1, Happening::Probe(me, id, service, self.now + within)),
            Output::Claim(claim) => (10, Happening::Claim(me, boot, claim)),
            Output::WriteState(record) => {
                let share = self.share.entry(record.claim.function.clone()).or_default();
                if let Some(last) = share.last_mut().filter(|last| last.claim == record.claim) {
                    last.state = record.state;
                }
                return;
            }
            Output::ReadClaims(query) => (5, Happening::Read(me, boot, query, self.now)),
            Output::TakeVip { until } => {
                self.holders.insert((me.clone(), me.clone()), until);
                reply(120, Input::VipTaken(Ok(())))
            }
            Output::KeepVip { until } => {
                self.holders.insert((me.clone(), me.clone()), until);
                return;
            }
            Output::DropVip => reply(3, Input::VipDropped),
            Output::StartVm { function } => {
                let end = self.now + ms(self.times.activation_ms);
                self.starting.insert((function.clone(), me.clone()), end);
                reply(
                    self.times.activation_ms,
                    Input::VmStarted {
                        function,
                        result: Ok(()),
                    },
                )
            }
            Output::SetVmVip { function, until } => {
                self.holders.insert((function.clone(), me.clone()), until);
                reply(
                    120,
                    Input::VmVipSet {
                        function,
                        result: Ok(()),
                    },
                )
            }
            Output::KeepVmVip { function, until } => {
                self.holders.insert((function, me), until);
                return;
            }
            Output::ReleaseVm { function } => {
                let start = self.starting.remove(&(function.clone(), me.clone()));
                let left = start.map_or(0, |end| end.since(self.now).as_millis() as u64);
                reply(left + 100, Input::VmReleased { function })
            }
            Output::RestartServices => reply(150, Input::ServicesRestarted(Ok(()))),
            Output::Reboot => {
                self.power_off(server);
                self.power_on(server);
                return;
            }
            Output::Wake(mac) => {
                let asleep = |(n, d): &(&ServerName, &ManagementData)| {
                    d.mac == mac && !self.machines[*n].powered && self.machines[*n].wakes
                };
                let found = self.data.iter().find(asleep).map(|(n, _)| n.clone());
                if let Some(server) = found {
                    self.power_on(&server);
                }
                return;
            }
            Output::Standby {
                function,
                load: true,
            } => {
                let loaded = !self.unable.contains(server);
                reply(self.times.load_ms, Input::Standby { function, loaded })
            }
            Output::WriteViews(_)
            | Output::WriteCondition(_)
            | Output::Standby { .. }
            | Output::RaiseFlag => return,
        };
        self.at(after, happening);
    }

    fn machine(&mut self, server: &ServerName) -> &mut Machine {
        self.machines.get_mut(server).unwrap()
    }

    fn start_agent(&mut self, server: &ServerName) {
        if !self.machines[server].powered {
            return;
        }
        let boot = self.machines[server].boot;
        let config = Config {
            me: server.clone(),
            base: self.base.clone(),
            data: self.data.clone(),
            settings: self.settings.clone(),
            vm_memory_kb: BTreeMap::new(),
            boot: boot * 1000 + 7,
        };
        self.machine(server).management = Some(Management::new(config));
        self.feed(server, Input::Tick);
    }

    /// A shutdown: all of it is gone at once, its VIP and VMs with it.
    pub(super) fn power_off(&mut self, server: &ServerName) {
        self.frozen.remove(server);
        let machine = self.machine(server);
        machine.powered = false;
        machine.network = false;
        machine.service = false;
        machine.management = None;
        machine.boot += 1;
        self.holders.retain(|(_, holder), _| holder != server);
        self.vms.retain(|(_, host)| host != server);
    }

    pub(super) fn power_on(&mut self, server: &ServerName) {
        let machine = self.machine(server);
        if machine.powered {
            return;
        }
        machine.powered = true;
        machine.booting = true;
        let boot = self.times.boot_ms;
        self.at(boot - 3000, Happening::Network(server.clone()));
        self.at(boot, Happening::Service(server.clone()));
        self.at(boot + 500, Happening::Agent(server.clone()));
    }

    pub(super) fn restart(&mut self, server: &ServerName) {
        self.power_off(server);
        self.power_on(server);
    }

    /// The agent alone dies; what it held runs out. With `restart` it comes back after a second.
    pub(super) fn crash_agent(&mut self, server: &str, restart: bool) {
        let server = name(server);
        self.machine(&server).management = None;
        self.machine(&server).boot += 1;
        self.vms.retain(|(_, host)| *host != server);
        self.holders
            .retain(|(function, holder), _| function == holder || *holder != server);
        if restart {
            self.at(1000, Happening::Agent(server));
        }
    }

    /// An agent that is dead on a machine that runs is started again.
    pub(super) fn revive_agent(&mut self, server: &ServerName) {
        let machine = &self.machines[server];
        if machine.powered && machine.network && machine.management.is_none() {
            self.at(100, Happening::Agent(server.clone()));
        }
    }

    /// The machine stands still: it neither answers nor acts, but what it holds stays.
    pub(super) fn freeze(&mut self, server: &ServerName) {
        if self.machines[server].powered {
            self.frozen.entry(server.clone()).or_default();
        }
    }

    /// All frozen machines go on with what came meanwhile.
    pub(super) fn thaw(&mut self) {
        for (server, waiting) in std::mem::take(&mut self.frozen) {
            self.feed(&server, Input::Late(Duration::from_secs(9)));
            for (boot, input) in waiting {
                self.at(1, Happening::Input(server.clone(), boot, input));
            }
        }
    }

    /// Every server tells the same load.
    pub(super) fn tell_loads(&mut self) {
        let sample = |name: &ServerName| crate::manage::placement::Sample {
            name: name.clone(),
            cores: 2.0,
            memory_kb: 1e6,
            rated_kb: 256e3,
            vm: 0,
            am: [8e5; 2],
            ac: [90.0; 2],
            an: [10.0; 2],
        };
        let samples: Vec<_> = self.machines.keys().map(sample).collect();
        for sample in samples {
            self.feed(&sample.name.clone(), Input::Load(sample));
        }
    }

    /// The node of a server was late by this much.
    pub(super) fn feed_late(&mut self, server: &str, millis: u64) {
        self.feed(&name(server), Input::Late(ms(millis)));
    }

    /// Cuts the link between two, both ways; the share is a server here.
    pub(super) fn cut_link(&mut self, a: &str, b: &str) {
        self.cut.insert((name(a), name(b)));
        self.cut.insert((name(b), name(a)));
    }

    /// At most one owner of each VIP, one VM of each function; epochs only rise.
    fn check(&mut self) {
        let now = self.now;
        self.holders.retain(|_, until| *until > now);
        let mut functions: Vec<&ServerName> = self.holders.keys().map(|(f, _)| f).collect();
        functions.dedup();
        if functions.len() != self.holders.len() {
            for (at, server, input) in &self.recent {
                println!("{:.3} {server} {input:?}", at.0.as_secs_f64());
            }
            panic!("two owners at {now:?}: {:?}", self.holders);
        }
        for records in self.share.values() {
            assert!(
                records
                    .windows(2)
                    .all(|w| w[0].claim.epoch < w[1].claim.epoch)
            );
        }
    }

    /// The log of one server as the paper shows it; without the seconds if `brief`.
    pub(super) fn log_of(&self, server: &str, from: f64, brief: bool) -> String {
        let mut text = String::new();
        for (at, who, event) in &self.log {
            let noise = matches!(
                event,
                Event::AwaitS { .. } | Event::Wait {} | Event::P2Wait {}
            );
            if who.as_str() == server && at.0.as_secs_f64() >= from && !(brief && noise) {
                text.push_str(&format!("{:>6.2} {event}\n", at.0.as_secs_f64()));
            }
        }
        text
    }

    pub(super) fn events(&self, find: impl Fn(&Event) -> bool) -> Vec<(Now, ServerName)> {
        let found = self.log.iter().filter(|(_, _, event)| find(event));
        found.map(|(at, who, _)| (*at, who.clone())).collect()
    }

    /// Every server at home, in the group, holding its VIP, and no VM left.
    pub(super) fn assert_all_home(&self) {
        for (server, machine) in &self.machines {
            let management = machine.management.as_ref().unwrap();
            assert_eq!(
                management.views().group.len(),
                self.base.len(),
                "{server} sees all in"
            );
            let regular = management
                .modes()
                .iter()
                .all(|(_, _, mode)| mode == "Regular");
            assert!(regular, "{server} {:?}", management.modes());
            assert!(management.holds_vip(), "{server} holds its VIP");
        }
        assert_eq!(self.vms.len(), 0, "{:?}", self.vms);
        assert_eq!(self.holders.len(), self.base.len(), "{:?}", self.holders);
    }
}
