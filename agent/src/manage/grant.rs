//! Grants as a manager gives them: the target holds its VIP only as long as one is good.
//!
//! A manager grants while its last examination was healthy, no ping of the target is out, it has
//! itself standing (it holds a grant of its own, or nobody manages it), and it knows that the
//! other manager thinks alike: from an answer to `Hear` (good for `grant_ttl` from the question)
//! or from its own reading of the share (good for `self_ttl`). So after the other manager stopped
//! vouching, or a claim was made, the last grant ends within a known time, whoever is cut off
//! from whom. [`Granter::out`] is that time for the manager that claims.

use super::context::Context;
use super::io::{Now, Output, Query};
use super::message::{Doubt, Message};
use crate::cluster::{Epoch, ServerName};

/// A manager's memory of what it granted and vouched for.
#[derive(Debug, Clone)]
pub(super) struct Granter {
    target: ServerName,
    /// When the last grant given here ends.
    granted: Now,
    /// When the last grant ends that the other manager may have given on our word.
    vouched: Now,
    /// Until when grants may reach on the other manager's word or the share's.
    evidence: Now,
    next_hear: Now,
    /// No grant of other managers, by then separated, is good after this.
    inherited: Now,
}

impl Granter {
    pub(super) fn new(context: &Context, target: &ServerName) -> Self {
        Self {
            target: target.clone(),
            granted: Now::default(),
            vouched: Now::default(),
            evidence: Now::default(),
            next_hear: context.now,
            inherited: context.last_fence(),
        }
    }

    /// When every grant for the target is out, if it is claimed now.
    pub(super) fn out(&self, context: &Context) -> Now {
        let read = context.now + context.timings().self_ttl;
        [self.granted, self.vouched, self.inherited, read]
            .into_iter()
            .max()
            .unwrap_or(read)
    }

    /// Keeps the evidence fresh.
    pub(super) fn tick(&mut self, context: &mut Context) {
        if context.now < self.next_hear {
            return;
        }
        let every = context.timings().grant_every;
        self.next_hear = context.now + every;
        let Some(other) = context.other_manager(&self.target) else {
            return;
        };
        let stamp_ms = context.now.as_millis();
        context.send(
            &other,
            Message::Hear {
                target: self.target.clone(),
                stamp_ms,
            },
        );
        if self.evidence < context.now + context.timings().grant_ttl / 2 {
            // The share's word is good for less time: ask for it more often.
            self.next_hear = context.now + every / 2;
            context
                .out
                .push(Output::ReadClaims(Query::One(self.target.clone())));
        }
    }

    pub(super) fn deadline(&self) -> Now {
        self.next_hear
    }

    /// The other manager asks for our word.
    pub(super) fn hear(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        stamp_ms: u64,
        well: bool,
    ) {
        let doubt = if well && context.has_standing() {
            Doubt::None
        } else {
            Doubt::Some
        };
        if doubt == Doubt::None {
            self.vouched = self.vouched.max(context.now + context.timings().grant_ttl);
        }
        context.send(
            from,
            Message::Heard {
                target: self.target.clone(),
                stamp_ms,
                doubt,
            },
        );
    }

    /// The other manager gave its word.
    pub(super) fn heard(&mut self, context: &Context, stamp_ms: u64, doubt: Doubt) {
        let stamp = Now::from_millis(stamp_ms);
        if stamp > context.now {
            return;
        }
        if doubt == Doubt::None {
            self.evidence = self.evidence.max(stamp + context.timings().grant_ttl);
        }
    }

    /// The share was read and shows the function at home.
    pub(super) fn read(&mut self, context: &Context, begun: Now) {
        self.evidence = self.evidence.max(begun + context.timings().self_ttl);
    }

    /// Others granted on our behalf until then.
    pub(super) fn gave(&mut self, until: Now) {
        self.granted = self.granted.max(until);
    }

    /// Answers a healthy target's question, if we may.
    pub(super) fn grant(&mut self, context: &mut Context, epoch: Epoch, stamp_ms: u64) {
        if !context.has_standing() {
            return;
        }
        let ttl = context.timings().grant_ttl;
        let alone = context.other_manager(&self.target).is_none();
        let end = context.now + ttl;
        let end = if alone { end } else { end.min(self.evidence) };
        let left = end.since(context.now);
        if left.is_zero() {
            return;
        }
        self.granted = self.granted.max(end);
        let until_ms = stamp_ms.saturating_add(Now(left).as_millis());
        let target = self.target.clone();
        context.send(
            &target,
            Message::Grant {
                function: target.clone(),
                epoch,
                until_ms,
            },
        );
    }
}
