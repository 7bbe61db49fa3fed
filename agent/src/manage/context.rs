//! What every part of the decisions reads and writes: the facts, the claims, the outputs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::claim::{Claim, Phase, Purpose, Record, State};
use super::grant::Grants;
use super::io::{Asker, Config, ExamId, Now, Output, Views};
use super::ledger::{self, Ledger};
use super::load::Loads;
use super::{Event, Message};
use crate::cluster::{Group, ManagementData, Operation, Priority, ServerName, Timings, ring};

/// Shared by all parts; each part has its own state beside it.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) now: Now,
    pub(super) ledger: Ledger,
    /// The servers that manage and are managed.
    pub(super) group: Group,
    /// Who manages whom.
    pub(super) operation: Operation,
    /// The ledger changed: managers must be matched with the operation file.
    pub(super) changed: bool,
    pub(super) out: Vec<Output>,
    pub(super) loads: Loads,
    /// When each target fell into trouble lately.
    pub(super) faults: BTreeMap<ServerName, Vec<Now>>,
    pub(super) grants: Grants,
    /// Servers that did not answer the last ping from here, since when.
    pub(super) silent: BTreeMap<ServerName, Now>,
    /// Servers behind a target in trouble, and hosts that are slow, to be looked at too.
    pub(super) scouts: Vec<ServerName>,
    /// When this node took up its work.
    pub(super) started: Now,
    /// When its own ticks count as in time again: bad examinations begun before are not believed.
    pub(super) steady: Now,
    /// Messages to ourselves: a server can be owner and host of a backup VM.
    pub(super) loops: Vec<Message>,
    serial: u64,
}

impl Context {
    pub(super) fn new(config: Config) -> Self {
        let group = config.base.clone();
        Self {
            operation: ring::operation(&group, config.settings.topology),
            config,
            now: Now::default(),
            ledger: Ledger::default(),
            group,
            changed: true,
            out: Vec::new(),
            loads: Loads::default(),
            faults: BTreeMap::new(),
            grants: Grants::default(),
            silent: BTreeMap::new(),
            scouts: Vec::new(),
            started: Now::default(),
            steady: Now::default(),
            loops: Vec::new(),
            serial: 0,
        }
    }

    pub(super) fn me(&self) -> ServerName {
        self.config.me.clone()
    }

    pub(super) fn timings(&self) -> &Timings {
        &self.config.settings.timings
    }

    pub(super) fn data(&self, name: &ServerName) -> Option<&ManagementData> {
        self.config.data.get(name)
    }

    pub(super) fn log(&mut self, event: Event) {
        self.out.push(Output::Log(event));
    }

    pub(super) fn send(&mut self, to: &ServerName, message: Message) {
        if *to == self.config.me {
            self.loops.push(message);
        } else {
            self.out.push(Output::Send {
                to: to.clone(),
                message,
            });
        }
    }

    /// Tells every other server of the cluster.
    pub(super) fn broadcast(&mut self, message: &Message) {
        let all: Vec<ServerName> = self.config.base.names().cloned().collect();
        for to in all.iter().filter(|to| **to != self.config.me) {
            self.out.push(Output::Send {
                to: to.clone(),
                message: message.clone(),
            });
        }
    }

    pub(super) fn exam_id(&mut self, asker: Asker, target: &ServerName) -> ExamId {
        self.serial += 1;
        ExamId {
            asker,
            target: target.clone(),
            serial: self.serial,
        }
    }

    /// Takes a record in and, if it is news, recomputes who manages whom.
    pub(super) fn learn(&mut self, record: Record) -> bool {
        let name = record.claim.function.clone();
        let owner = |ledger: &Ledger| Some(ledger.away(&name)?.claim.owner.clone());
        let before = owner(&self.ledger);
        let epoch = self.ledger.epoch(&name);
        let news = self.ledger.merge(record);
        if news {
            let after = owner(&self.ledger);
            self.superseded(&name);
            if self.ledger.epoch(&name) > epoch {
                self.doubt_claimants(&name);
            }
            if after.is_some() && before.is_none() {
                self.forget_words();
            }
            if after != before {
                self.regroup();
            }
            self.look_again();
            self.changed = true;
        }
        news
    }

    fn regroup(&mut self) {
        let was_in = self.in_group();
        self.group = ledger::group(&self.config.base, &self.ledger);
        self.operation = ring::operation(&self.group, self.config.settings.topology);
        if self.in_group() && !was_in {
            self.joined();
        }
    }

    /// A record of our own: learnt, told to all, and the management files follow.
    pub(super) fn publish(&mut self, record: Record) {
        if self.learn(record.clone()) {
            let record = Box::new(record);
            self.broadcast(&Message::Modified { record });
            self.write_views();
        }
    }

    /// Tells who asks for a grant that a newer claim stands.
    pub(super) fn refuse(&mut self, to: &ServerName, record: Record) {
        let record = Box::new(record);
        self.send(to, Message::Refuse { record });
    }

    /// Has the management files replaced.
    pub(super) fn write_views(&mut self) {
        let views = Views {
            separation: self.config.base.without(&self.group),
            trouble: ledger::trouble(&self.config, &self.ledger),
            group: self.group.clone(),
            operation: self.operation.clone(),
        };
        self.out.push(Output::WriteViews(views));
    }

    /// Asks the share for the next epoch of a function.
    pub(super) fn claim_next(&mut self, function: &ServerName, purpose: Purpose) -> Claim {
        let claim = Claim {
            function: function.clone(),
            epoch: self.ledger.epoch(function).next(),
            owner: self.me(),
            purpose,
        };
        self.opened(&claim);
        self.out.push(Output::Claim(claim.clone()));
        claim
    }

    /// Sets how far an own claim got: on the share, for all, and here.
    pub(super) fn set_state(&mut self, claim: &Claim, phase: Phase, host: Option<ServerName>) {
        let revision = match self.ledger.get(&claim.function) {
            Some(record) if record.claim == *claim => {
                if record.state.phase == phase && record.state.host == host {
                    return;
                }
                record.state.revision + 1
            }
            _ => 1,
        };
        let record = Record {
            claim: claim.clone(),
            state: State {
                revision,
                phase,
                host,
            },
        };
        self.out.push(Output::WriteState(record.clone()));
        self.publish(record);
    }

    /// Whether this server is in the group: only then may it act for others.
    pub(super) fn in_group(&self) -> bool {
        self.group.contains(&self.config.me)
    }

    /// The other manager of a target.
    pub(super) fn other_manager(&self, target: &ServerName) -> Option<ServerName> {
        let managers = [Priority::P1, Priority::P2];
        let mut names = managers
            .into_iter()
            .filter_map(|p| self.operation.manager(target, p));
        names.find(|name| **name != self.config.me).cloned()
    }

    /// Servers in ring order from the one after `name` on, all the way round, without `name`.
    pub(super) fn behind(&self, name: &ServerName) -> impl Iterator<Item = &ServerName> {
        let members = self.group.members();
        let at = self.group.position(name).unwrap_or(0);
        let steps = 1..members.len().max(1);
        steps.map(move |step| &members[(at + step) % members.len()].name)
    }

    /// Third servers to ask about a target: the two behind it in the ring, and the one before us.
    pub(super) fn witnesses(
        &self,
        target: &ServerName,
        partner: Option<&ServerName>,
    ) -> Vec<ServerName> {
        let third = |name: &&ServerName| {
            **name != *target && **name != self.config.me && Some(*name) != partner
        };
        let mut found: Vec<ServerName> =
            self.behind(target).filter(third).take(2).cloned().collect();
        let before = self.behind(&self.config.me).filter(third).last().cloned();
        found.extend(before.filter(|name| !found.contains(name)));
        found
    }

    /// Whether a server was found silent lately.
    pub(super) fn is_silent(&self, name: &ServerName) -> bool {
        self.silent
            .get(name)
            .is_some_and(|at| self.now.since(*at) < self.timings().t_im)
    }

    /// How many backup VMs each server runs, by the claims.
    pub(super) fn running(&self) -> BTreeMap<ServerName, u32> {
        let mut vms = BTreeMap::new();
        for record in self.ledger.all_away() {
            if let Some(host) = &record.state.host {
                *vms.entry(host.clone()).or_default() += 1;
            }
        }
        vms
    }

    /// Functions that were claimed and have no host yet, in ring order.
    pub(super) fn unplaced(&self) -> impl Iterator<Item = &ServerName> {
        let waits = |name: &&ServerName| {
            let record = self.ledger.away(name);
            record.is_some_and(|record| {
                record.state.host.is_none() && record.state.phase != Phase::GivenUp
            })
        };
        self.config.base.names().filter(waits)
    }

    /// Remembers a fault of a target; how long it must stay healthy before it goes home.
    pub(super) fn fault(&mut self, target: &ServerName) {
        let (now, flap) = (self.now, self.timings().flap);
        let faults = self.faults.entry(target.clone()).or_default();
        faults.retain(|at| now.since(*at) < flap);
        if faults.len() < 16 {
            faults.push(now);
        }
    }

    /// How long a recovered target must stay healthy before its function goes home: `t_home`,
    /// and from the second fault on `hold_down`, doubled with each further one.
    pub(super) fn hold(&self, target: &ServerName) -> Duration {
        let timings = self.timings();
        let faults = self.faults.get(target).map_or(0, Vec::len);
        match u32::try_from(faults).unwrap_or(u32::MAX).checked_sub(2) {
            None => timings.t_home,
            Some(more) => timings.t_home + timings.hold_down * 2_u32.pow(more.min(8)),
        }
    }
}
