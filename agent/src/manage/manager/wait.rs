//! P2 in trouble: it waits for R, U or D, and for a sign of life of P1.

use super::{Known, Manager, Mode, Repair, Wish};
use crate::cluster::{Priority, ServerName};
use crate::manage::Event;
use crate::manage::context::Context;
use crate::manage::io::Now;
use crate::manage::message::Message;

impl Manager {
    pub(super) fn wait_on(&mut self, context: &mut Context) -> Option<Wish> {
        self.next = context.now + context.timings().t_wait;
        let Mode::Waiting { p1, heard, claim } = &self.mode else {
            return None;
        };
        let (p1, heard, claim) = (p1.clone(), *heard, *claim);
        if matches!(claim, Known::Home(at) if context.now.since(at) > 2 * context.timings().t_nd) {
            // U got lost.
            self.relieved(context);
            return None;
        }
        context.log(Event::P2Wait {});
        let target = self.target.clone();
        context.send(&p1, Message::Hear { target });
        if context.now.since(heard) >= context.timings().t_nd {
            self.hear_of(context, &p1);
        }
        if context.now.since(heard) <= 2 * context.timings().t_nd || !context.in_group() {
            return None;
        }
        context.log(Event::TakesPart {
            target: self.target.clone(),
            gone: p1,
        });
        self.acting = true;
        if context.ledger.away(&self.target).is_some() {
            return Some(Wish::Inherit);
        }
        self.mode = Mode::Regular;
        self.seen = true;
        self.examine(context);
        None
    }

    /// Only the way from P1 to us may be cut: its managers hear it too.
    fn hear_of(&self, context: &mut Context, p1: &ServerName) {
        let me = context.me();
        let managers = context.operation.of(p1).map(|task| &task.manager);
        let others = managers.filter(|name| **name != me && **name != self.target);
        let others: Vec<ServerName> = others.cloned().collect();
        for to in &others {
            let server = p1.clone();
            context.send(to, Message::HearOf { server });
        }
    }

    /// A sign of life of P1 then, while we wait.
    pub(in crate::manage) fn heard(&mut self, from: &ServerName, at: Now) {
        if let Mode::Waiting { p1, heard, .. } = &mut self.mode {
            if p1 == from {
                *heard = at.max(*heard);
            }
        }
    }

    pub(super) fn must_wait(&self, context: &Context) -> Option<ServerName> {
        if self.acting {
            return None;
        }
        match context.ledger.away(&self.target) {
            Some(record) => Some(record.claim.owner.clone()),
            None if self.priority == Priority::P1 => None,
            None => self.partner.clone(),
        }
    }

    pub(super) fn wait_for(&mut self, context: &Context, p1: ServerName) {
        let away = context.ledger.away(&self.target).is_some();
        let claim = if away { Known::Away } else { Known::Nothing };
        self.mode = Mode::Waiting {
            p1,
            heard: context.now,
            claim,
        };
        self.next = context.now;
    }

    /// Who manages whom has changed, or who acts for the target.
    pub(in crate::manage) fn realign(&mut self, context: &mut Context) {
        if let Some(other) = context.other_manager(&self.target) {
            self.partner = Some(other);
        }
        let away = context
            .ledger
            .away(&self.target)
            .map(|record| record.claim.owner.clone());
        match (&mut self.mode, away) {
            // What another manager claimed is its own to recover, whatever we were at.
            (
                Mode::Regular
                | Mode::ServiceRecovery(
                    Repair::Network | Repair::Restarting { .. } | Repair::Examining { .. },
                ),
                Some(owner),
            ) if owner != context.config.me => {
                self.wait_for(context, owner);
            }
            (Mode::Waiting { p1, heard, claim }, Some(owner)) => {
                *claim = Known::Away;
                if *p1 != owner {
                    *heard = context.now;
                    *p1 = owner;
                }
            }
            (
                Mode::Waiting {
                    claim: claim @ Known::Away,
                    ..
                },
                None,
            ) => {
                *claim = Known::Home(context.now);
            }
            // P1 itself was lost: we wait for the server that took its place.
            (
                Mode::Waiting {
                    p1,
                    heard,
                    claim: Known::Nothing,
                },
                None,
            ) => {
                let first = context.operation.manager(&self.target, Priority::P1);
                if let Some(first) = first.filter(|name| *name != p1 && **name != context.config.me)
                {
                    *p1 = first.clone();
                    *heard = context.now;
                }
            }
            _ => {}
        }
    }

    /// R or U came, or a claim says that the function is at home.
    pub(in crate::manage) fn relieved(&mut self, context: &mut Context) {
        if let Mode::Waiting { .. } = self.mode {
            self.regular(context);
            self.examine(context);
        }
    }

    /// D came.
    pub(in crate::manage) fn given_up(&self) -> Option<Wish> {
        matches!(self.mode, Mode::Waiting { .. }).then_some(Wish::End)
    }
}
