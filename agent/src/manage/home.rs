//! This server's own VIP: held only under a live grant.
//!
//! ```text
//!             grant                    taken
//!   off ----------------> taking ----------------> held
//!    ^                      |                       |
//!    +----------------------+-----------------------+
//!          no grant left, refused, told to drop, duplicate found
//! ```
//!
//! * off: where a booted server starts. If its function is claimed, it asks the owner of the claim,
//!   who so learns that it is back.
//! * off -> taking: the share shows the function at home, or a grant of a manager came. A server that
//!   nobody manages (the last one, the head of a star) grants itself.
//! * taking -> held: the address is set, after a probe for a duplicate.
//! * -> off: the kernel takes the address off by itself when it is not renewed; this only does
//!   so earlier and says why.

use std::time::Duration;

use super::Event;
use super::context::Context;
use super::io::{Now, Output, Query};
use super::message::Message;
use crate::cluster::{Epoch, Priority, ServerName};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Off,
    Taking,
    On,
    Dropping,
}

/// The state of the own VIP.
#[derive(Debug)]
pub(super) struct Home {
    held: Held,
    until: Now,
    /// When the managers, or the owner of a claim, were asked last.
    asked: Option<Now>,
    next_read: Now,
    /// When the next of these is due.
    next: Now,
    answered: Now,
    /// Epochs up to this one are barred: somebody else acts under it.
    barred: Epoch,
    /// Whom to tell that the VIP is off, and the epoch of the order.
    confirm: Option<(ServerName, Epoch)>,
    passive: Option<Epoch>,
    /// Why the address could not be set, as last logged.
    complaint: Option<String>,
}

impl Home {
    pub(super) fn new() -> Self {
        Self {
            held: Held::Off,
            until: Now::default(),
            asked: None,
            next_read: Now::default(),
            next: Now::default(),
            answered: Now::default(),
            barred: Epoch(0),
            confirm: None,
            passive: None,
            complaint: None,
        }
    }

    /// Whether the VIP is on this server.
    pub(super) fn is_held(&self) -> bool {
        self.held == Held::On
    }

    pub(super) fn deadline(&self) -> Now {
        match self.held {
            Held::Taking | Held::On => self.next.min(self.until),
            Held::Off | Held::Dropping => self.next,
        }
    }

    pub(super) fn tick(&mut self, context: &mut Context) {
        let me = context.me();
        if let Some(record) = context.ledger.away(&me).cloned() {
            let epoch = record.claim.epoch;
            if record.state.phase != super::claim::Phase::Examining {
                self.drop_vip(context, "the function is claimed");
            }
            if self.passive != Some(epoch) && !self.is_held() {
                self.passive = Some(epoch);
                context.log(Event::Passive {
                    owner: record.claim.owner,
                    epoch,
                });
            }
        }
        if matches!(self.held, Held::On | Held::Taking) && context.now >= self.until {
            self.drop_vip(context, "no grant");
        }
        if context.now >= self.next_read {
            self.next_read = context.now + context.timings().read_every;
            if context.ledger.away(&me).is_none() {
                context.read_claim(&me);
            }
        }
        if context.now >= self.due(context) {
            self.asked = Some(context.now);
            self.ask(context);
        }
        self.next = self.due(context).min(self.next_read);
    }

    /// When the managers are asked again. Who has enough shows them only that it lives: four times in
    /// T_im, after which they would take its agent for dead.
    fn due(&self, context: &Context) -> Now {
        let Some(asked) = self.asked else {
            return context.now;
        };
        let timings = context.timings();
        let soon = asked + timings.grant_every / 2;
        let short = Now(self.until.since(Now(short(context))));
        soon.max(short).min(asked + timings.t_im / 4)
    }

    fn ask(&mut self, context: &mut Context) {
        let me = context.me();
        let ask = Message::Ask {
            function: me.clone(),
            epoch: context.ledger.epoch(&me),
            stamp_ms: context.now.as_millis(),
            boot: context.config.boot,
            short: self.until <= context.now + short(context),
        };
        if let Some(record) = context.ledger.away(&me) {
            let owner = record.claim.owner.clone();
            context.send(&owner, ask);
            if context.now.since(self.answered) > 4 * context.timings().grant_every {
                context.read_claim(&me);
            }
            return;
        }
        let managers: Vec<ServerName> = [Priority::P1, Priority::P2]
            .into_iter()
            .filter_map(|priority| context.operation.manager(&me, priority).cloned())
            .collect();
        if managers.is_empty() && context.in_group() && self.barred <= context.ledger.epoch(&me) {
            self.granted(context, context.evidence(&me));
        }
        for manager in &managers {
            context.send(manager, ask.clone());
        }
    }

    /// A grant under `epoch` until `until`.
    pub(super) fn grant(&mut self, context: &mut Context, epoch: Epoch, until: Now) {
        let me = context.me();
        if epoch > context.ledger.epoch(&me) {
            // The claim behind it is not known here yet.
            context.out.push(Output::ReadClaims(Query::One(me)));
            return;
        }
        let stale = epoch < context.ledger.epoch(&me) || context.ledger.away(&me).is_some();
        let absurd = until > context.now + context.timings().grant_ttl;
        if stale || epoch < self.barred || absurd {
            return;
        }
        self.answered = context.now;
        self.granted(context, until);
    }

    /// A reading of the share failed: it is made again when it can no longer be under way.
    pub(super) fn unread(&mut self, context: &Context, begun: Now) {
        let again = begun + context.timings().read_within();
        self.next_read = self.next_read.min(again.max(context.now));
    }

    /// The share was read; `at_home` says whether our function is unclaimed there.
    pub(super) fn read(&mut self, context: &mut Context, begun: Now, at_home: bool) {
        if at_home && self.barred <= context.ledger.epoch(&context.config.me) {
            self.granted(context, begun + context.timings().self_ttl);
        }
    }

    fn granted(&mut self, context: &mut Context, until: Now) {
        if until <= context.now {
            return;
        }
        let later = until > self.until;
        self.until = self.until.max(until);
        match self.held {
            Held::Off => {
                self.held = Held::Taking;
                self.until = until;
                context.out.push(Output::TakeVip { until });
            }
            Held::On if later => context.out.push(Output::KeepVip { until }),
            Held::On | Held::Taking | Held::Dropping => {}
        }
    }

    /// The node set the address, or could not.
    pub(super) fn taken(&mut self, context: &mut Context, result: Result<(), String>) {
        if self.held != Held::Taking {
            // Overtaken by an order to drop.
            if self.held == Held::Off && result.is_ok() {
                self.held = Held::Dropping;
                context.out.push(Output::DropVip);
            }
            return;
        }
        let me = context.me();
        let Some(vip) = context.data(&me).map(|data| data.vip) else {
            return;
        };
        match result {
            Ok(()) => {
                self.held = Held::On;
                self.passive = None;
                self.complaint = None;
                let epoch = context.ledger.epoch(&me);
                context.out.push(Output::KeepVip { until: self.until });
                context.log(Event::VipHeld { vip, epoch });
                if let Some(record) = context.ledger.get(&me) {
                    let owner = record.claim.owner.clone();
                    context.send(&owner, Message::Holding { epoch });
                }
            }
            Err(reason) => {
                self.held = Held::Off;
                if self.complaint.as_ref() != Some(&reason) {
                    self.complaint = Some(reason.clone());
                    context.log(Event::VipLetGo { vip, reason });
                }
            }
        }
    }

    /// A manager under `epoch` orders the VIP off (background job 2).
    pub(super) fn ordered_off(&mut self, context: &mut Context, from: &ServerName, epoch: Epoch) {
        if epoch < context.ledger.epoch(&context.config.me) {
            return;
        }
        self.barred = self.barred.max(epoch.next());
        self.confirm = Some((from.clone(), epoch));
        match self.held {
            Held::Off => self.confirm_off(context),
            Held::Dropping => {}
            Held::On | Held::Taking => self.drop_vip(context, "ordered by the manager"),
        }
    }

    fn drop_vip(&mut self, context: &mut Context, reason: &str) {
        if !matches!(self.held, Held::On | Held::Taking) {
            return;
        }
        self.held = Held::Dropping;
        self.until = Now::default();
        context.out.push(Output::DropVip);
        let me = context.me();
        if let Some(vip) = context.data(&me).map(|data| data.vip) {
            context.log(Event::VipLetGo {
                vip,
                reason: reason.to_owned(),
            });
        }
    }

    /// The address is off: the node took it off, or its lifetime ran out before it was renewed.
    pub(super) fn dropped(&mut self, context: &mut Context) {
        if self.held == Held::Taking {
            return;
        }
        if self.held == Held::On {
            let me = context.me();
            if let Some(vip) = context.data(&me).map(|data| data.vip) {
                let reason = "renewed too late".to_owned();
                context.log(Event::VipLetGo { vip, reason });
            }
        }
        self.held = Held::Off;
        self.confirm_off(context);
    }

    fn confirm_off(&mut self, context: &mut Context) {
        if let Some((to, epoch)) = self.confirm.take() {
            context.send(&to, Message::VipDropped { epoch });
        }
    }

    /// The owner of a claim still answers.
    pub(super) fn refused(&mut self, context: &Context) {
        self.answered = context.now;
    }
}

/// With so little left of its grant a server asks its managers for a new one. Two questions and their
/// answers fit into it, and a reading that is on time comes before.
fn short(context: &Context) -> Duration {
    context.timings().self_ttl * 2 / 5
}
