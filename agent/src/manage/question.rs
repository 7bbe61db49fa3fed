//! The question of a holder: may I have a grant?
//!
//! It is answered at once. One that runs short while there is little evidence is answered again as soon
//! as there is more: a server whose reading of the share failed has no time to ask once more.

use super::io::Query;
use super::{Management, Output};
use crate::cluster::{Epoch, ServerName};

/// A question, as it came.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) from: ServerName,
    pub(super) epoch: Epoch,
    pub(super) stamp_ms: u64,
    pub(super) boot: u64,
}

impl Management {
    /// Answers a question as far as the evidence allows now.
    pub(super) fn asked(&mut self, function: &ServerName, question: &Question) {
        let Question {
            from,
            epoch,
            stamp_ms,
            boot,
        } = question;
        let context = &mut self.context;
        if let Some(manager) = self.managers.get_mut(function).filter(|_| from == function) {
            manager.asked(context);
        }
        if let Some(case) = self.cases.get_mut(function) {
            case.ask(context, from, *epoch, *stamp_ms, *boot);
        } else if let Some(record) = context.ledger.away(function).cloned() {
            context.refuse(from, record);
        } else if *epoch > context.ledger.epoch(function) {
            let query = Query::One(function.clone());
            context.out.push(Output::ReadClaims(query));
        } else if from == function {
            let newest = context.ledger.epoch(function);
            if newest > *epoch {
                // It learns of its own return before it is granted.
                if let Some(record) = context.ledger.get(function).cloned() {
                    context.refuse(from, record);
                }
            }
            let manager = self.managers.get(function);
            if manager.is_some_and(|manager| manager.may_grant(context)) {
                context.grant(function, from, newest, *stamp_ms);
            }
        } else if let Some(record) = context.ledger.get(function).cloned() {
            context.refuse(from, record);
        }
    }

    /// Who asks runs short: what the answer rests on is seen to, and if it was no help a better one
    /// follows.
    pub(super) fn wanted(&mut self, function: ServerName, question: Question) {
        self.context.want(&function);
        if self.is_scarce(&function) {
            self.unanswered.insert(function, question);
        } else {
            self.unanswered.remove(&function);
        }
    }

    /// There may be evidence now for those that had to wait.
    pub(super) fn answer_late(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        for (function, question) in std::mem::take(&mut self.unanswered) {
            if self.is_scarce(&function) {
                self.unanswered.insert(function, question);
            } else {
                self.asked(&function, &question);
            }
        }
    }

    /// Whether an answer would help the holder of a function little.
    fn is_scarce(&self, function: &ServerName) -> bool {
        let context = &self.context;
        context.evidence(function).since(context.now) < context.timings().self_ttl / 2
    }
}
