//! How loaded servers are, and which golden states they keep loaded (paper, sections 2.5 and 4.1).
//!
//! The head of the group is told once a round, for the condition file and for the orders of
//! `standby`. Who finds a target in trouble asks all others, so that a backup VM is placed by what is
//! true then. Nobody else is told, so that this costs a server the same however many there are.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::io::{Now, Output};
use super::message::{Load, Message};
use super::placement::{self, Sample};
use crate::cluster::ServerName;

/// What servers said of themselves, and when.
#[derive(Debug, Default)]
pub(super) struct Loads {
    known: BTreeMap<ServerName, (Load, Now)>,
    /// When all others were asked last.
    asked: Option<Now>,
}

impl Context {
    /// This server's own load, measured.
    pub(super) fn measured(&mut self, sample: Sample) {
        self.own(|load| load.sample = Some(sample));
    }

    fn own(&mut self, change: impl FnOnce(&mut Load)) {
        let (me, now) = (self.me(), self.now);
        let (load, at) = self.loads.known.entry(me).or_default();
        change(load);
        *at = now;
    }

    /// What this server keeps loaded, once a round and when it changes: the head of the group is told.
    pub(super) fn stocked(&mut self, standbys: &BTreeSet<ServerName>, loading: bool) {
        self.own(|load| {
            load.standbys.clone_from(standbys);
            load.loading = loading;
        });
        if let Some(head) = self.group.head().cloned() {
            if head != self.config.me {
                self.tell_load(&head);
            }
        }
    }

    /// Tells how loaded this server is.
    pub(super) fn tell_load(&mut self, to: &ServerName) {
        let own = self.loads.known.get(&self.config.me);
        if let Some(load) = own.map(|(load, _)| load.clone()) {
            self.send(to, Message::Load(Box::new(load)));
        }
    }

    /// A server said how loaded it is.
    pub(super) fn heard_load(&mut self, from: &ServerName, load: Load) {
        self.loads.known.insert(from.clone(), (load, self.now));
    }

    /// A backup VM may have to be placed soon: asks all others how loaded they are, once in T_im.
    pub(super) fn ask_loads(&mut self) {
        let every = self.timings().t_im;
        let lately = |at: Now| self.now.since(at) < every;
        if !self.loads.asked.is_some_and(lately) {
            self.loads.asked = Some(self.now);
            self.broadcast(&Message::AskLoad);
        }
    }

    /// When the answers to that are in: of servers that live, a part of T_wait later.
    pub(super) fn answered_loads(&self) -> Now {
        let asked = self.loads.asked.unwrap_or_default();
        asked + self.timings().t_wait / 4
    }

    /// The load of a server, if it said so in the last two rounds.
    pub(super) fn load_of(&self, name: &ServerName) -> Option<&Load> {
        let (load, at) = self.loads.known.get(name)?;
        let lately = self.now.since(*at) < 2 * self.timings().t_im;
        lately.then_some(load)
    }

    /// How loaded the servers of the group are, in ring order.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let names = self.group.names();
        names
            .filter_map(|name| self.load_of(name)?.sample.clone())
            .collect()
    }

    /// As the head of the group: has the condition file replaced, a line a server in ring order.
    pub(super) fn write_condition(&mut self) {
        if self.group.head() == Some(&self.config.me) {
            let condition = placement::condition(&self.samples());
            self.out.push(Output::WriteCondition(condition));
        }
    }

    /// The hosts in the group that have the golden state of a function at hand, in ring order.
    pub(super) fn standby_hosts_of(&self, function: &ServerName) -> Vec<ServerName> {
        let has = |host: &&ServerName| {
            let load = self.load_of(host);
            load.is_some_and(|load| load.standbys.contains(function))
        };
        self.group.names().filter(has).cloned().collect()
    }

    /// The same for each function.
    pub(super) fn standby_hosts(&self) -> BTreeMap<ServerName, Vec<ServerName>> {
        let functions = self.config.base.names();
        functions
            .map(|function| (function.clone(), self.standby_hosts_of(function)))
            .collect()
    }
}
