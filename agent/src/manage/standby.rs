//! Golden states kept at hand where placement wants them: loaded and paused (setting `activation =
//! "standby"`), or in the page cache (`"restore"`). "Loaded" means either here.
//!
//! ```text
//!   every host --- Load: what it has loaded, whether it is loading ---> head of the group
//!   head of the group --- Standby: load this one, drop that one ---> one host
//! ```
//!
//! Hosts say what they have, once a round and at each change, and nobody remembers orders beyond
//! that: a host that restarts says so by having nothing. The head of the group compares what there
//! is with what placement wants, all functions taken together so that they spread, and orders one
//! thing at a time in the whole cluster. What is only read ahead is kept on two hosts, since it costs no
//! memory. Loading reads much from the share and takes much of a
//! host; two at once would make healthy services look ill. Nothing is ordered before all functions
//! have been at home, or given up, for `standby_calm` without a new claim: a server that comes home long
//! after it was given up is as busy as any other that has just booted. What is loaded moves only after
//! another host was favoured for `standby_move`.

use std::collections::{BTreeMap, BTreeSet};

use super::Event;
use super::claim::Phase;
use super::context::Context;
use super::io::{Now, Output};
use super::message::{Load, Message};
use super::placement::{self, Stock};
use crate::cluster::{Activation, ServerName};

/// Hosts that failed to load a state are tried again after so many T_im.
const FORGIVE: u32 = 30;

/// An order of the head whose effect is not seen yet.
#[derive(Debug)]
struct Order {
    function: ServerName,
    host: ServerName,
    until: Now,
}

/// What this server has loaded, as a host, and what it ordered, as the head of the group.
#[derive(Debug, Default)]
pub(super) struct Standbys {
    loaded: BTreeSet<ServerName>,
    loading: Option<ServerName>,
    order: Option<Order>,
    /// Since when every function is at home, or given up, and the news of claims by then.
    calm: Option<(u64, Now)>,
    /// Hosts that did not load a state, until when they are not asked again.
    failed: Vec<(ServerName, ServerName, Now)>,
    /// Since when another host is favoured.
    favoured: BTreeMap<ServerName, (ServerName, Now)>,
}

impl Standbys {
    /// Once a round: tells what is here and, as the head, orders.
    pub(super) fn round(&mut self, context: &mut Context) {
        let news = context.ledger.news();
        let same = self.calm.filter(|(then, _)| *then == news);
        self.calm = is_calm(context).then(|| same.unwrap_or((news, context.now)));
        self.tell(context);
    }

    fn tell(&mut self, context: &mut Context) {
        context.stocked(&self.loaded, self.loading.is_some());
        self.heard(context);
    }

    /// A host said what it has: the head of the group may have orders.
    pub(super) fn heard(&mut self, context: &mut Context) {
        if context.group.head() == Some(&context.config.me) {
            self.direct(context);
        }
    }

    /// As the head: the next order, if one is due.
    fn direct(&mut self, context: &mut Context) {
        let now = context.now;
        let calm = self.calm.is_some_and(|(news, since)| {
            news == context.ledger.news() && now.since(since) >= context.timings().standby_calm
        });
        if !calm || !is_complete(context) {
            return;
        }
        self.failed.retain(|(_, _, until)| *until > now);
        if let Some(order) = self.order.take() {
            let has = |load: &Load| load.standbys.contains(&order.function);
            if context.load_of(&order.host).is_some_and(has) {
                // Done.
            } else if now < order.until {
                self.order = Some(order);
                return;
            } else {
                let until = now + context.timings().t_im * FORGIVE;
                self.failed.push((order.function, order.host, until));
            }
        }
        let wanted = self.wanted(context);
        if let Some((function, host)) = surplus(context, &wanted) {
            let load = false;
            context.send(&host, Message::Standby { function, load });
            return;
        }
        // Every function has one host before any has two.
        let most = wanted.iter().map(|(_, hosts)| hosts.len()).max();
        for nth in 0..most.unwrap_or(0) {
            for (function, hosts) in &wanted {
                if let Some(host) = self.due(context, function, hosts, nth) {
                    self.place(context, function.clone(), host);
                    return;
                }
            }
        }
    }

    fn place(&mut self, context: &mut Context, function: ServerName, host: ServerName) {
        self.favoured.remove(&function);
        let (target, at) = (function.clone(), host.clone());
        context.log(match context.config.settings.activation {
            Activation::Standby => Event::StandbyPlaced { target, host: at },
            Activation::Restore => Event::StateCached { target, host: at },
        });
        self.order = Some(Order {
            function: function.clone(),
            host: host.clone(),
            until: context.now + context.timings().t_im,
        });
        let load = true;
        context.send(&host, Message::Standby { function, load });
    }

    /// Where the state of every function that is at home belongs, in ring order.
    fn wanted(&self, context: &Context) -> Vec<(ServerName, Vec<ServerName>)> {
        let config = &context.config;
        let need = |name| config.vm_memory_kb.get(name).copied().unwrap_or(0);
        let functions = config.data.iter();
        let functions =
            functions.map(|(name, data)| (name.clone(), (data.server_type, need(name))));
        let functions = functions.collect();
        let failed: Vec<(ServerName, ServerName)> = self
            .failed
            .iter()
            .map(|(function, host, _)| (function.clone(), host.clone()))
            .collect();
        let stock = Stock {
            group: &context.group,
            functions: &functions,
            current: &context.standby_hosts(),
            activation: config.settings.activation,
            failed: &failed,
            running: &context.running(),
        };
        let wanted = placement::standbys(&stock, &context.samples());
        let names = context.group.names();
        names
            .filter_map(|name| Some((name.clone(), wanted.get(name)?.clone())))
            .collect()
    }

    /// The `nth` host that the state of a function belongs to, if it is to be loaded there now: it is on too
    /// few, or belongs elsewhere for long.
    fn due(
        &mut self,
        context: &Context,
        function: &ServerName,
        hosts: &[ServerName],
        nth: usize,
    ) -> Option<ServerName> {
        let now = context.now;
        let current = context.standby_hosts_of(function);
        let Some(host) = hosts.iter().find(|host| !current.contains(host)) else {
            self.favoured.remove(function);
            return None;
        };
        if current.len() < hosts.len() {
            return (current.len() <= nth).then(|| host.clone());
        }
        let since = self
            .favoured
            .entry(function.clone())
            .and_modify(|entry| {
                if entry.0 != *host {
                    *entry = (host.clone(), now);
                }
            })
            .or_insert_with(|| (host.clone(), now));
        let long = now.since(since.1) >= context.timings().standby_move;
        long.then(|| host.clone())
    }

    /// As a host: the head wants a state loaded or dropped. One is loaded at a time; an order that
    /// comes meanwhile is forgotten, the head will repeat it.
    pub(super) fn ordered(&mut self, context: &mut Context, function: ServerName, load: bool) {
        let known = context.data(&function).is_some() && function != context.config.me;
        let has = self.loaded.contains(&function);
        if load && known && !has && self.loading.is_none() {
            self.loading = Some(function.clone());
        } else if load || !has {
            return;
        } else {
            self.loaded.remove(&function);
        }
        context.out.push(Output::Standby { function, load });
        self.tell(context);
    }

    /// As a host: a state is loaded now, or could not be.
    pub(super) fn loaded(&mut self, context: &mut Context, function: &ServerName, loaded: bool) {
        if self.loading.as_ref() == Some(function) {
            self.loading = None;
        }
        if loaded {
            self.loaded.insert(function.clone());
        }
        self.tell(context);
    }

    /// As a host: a state that was loaded here is a running VM now.
    pub(super) fn used(&mut self, context: &mut Context, function: &ServerName) {
        if self.loaded.remove(function) {
            self.tell(context);
        }
    }
}

/// Whether no recovery is under way.
fn is_calm(context: &Context) -> bool {
    let mut away = context.ledger.all_away();
    away.all(|record| record.state.phase == Phase::GivenUp)
}

/// Whether every server of the group said lately how loaded it is, and that it is not loading.
fn is_complete(context: &Context) -> bool {
    let ready = |load: &Load| load.sample.is_some() && !load.loading;
    let mut names = context.group.names();
    names.all(|name| context.load_of(name).is_some_and(ready))
}

/// A state that is on more hosts than it should be, and where it is to be dropped.
fn surplus(
    context: &Context,
    wanted: &[(ServerName, Vec<ServerName>)],
) -> Option<(ServerName, ServerName)> {
    for (function, hosts) in wanted {
        let current = context.standby_hosts_of(function);
        if current.len() > hosts.len() {
            let elsewhere = current.iter().rfind(|host| !hosts.contains(host));
            return Some((function.clone(), elsewhere.or(current.last())?.clone()));
        }
    }
    None
}
