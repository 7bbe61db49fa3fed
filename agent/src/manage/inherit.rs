//! Claims that nobody here has a case for: those of an owner that is out of the group, our own from
//! before a restart, and those that nobody needs any more.

use super::case::Case;
use super::claim::{Claim, Purpose};
use super::io::Now;
use super::manager::{Manager, Mode};
use super::{Errand, Management, Message};
use crate::cluster::ServerName;

impl Management {
    /// Recoveries whose owner is out of the group go on with the server that claimed the owner;
    /// our own, from before a restart, go on too. Who does not know where it had the VM started
    /// claims anew even so: a VM goes on under the claim that it was started under.
    pub(super) fn inherit_orphans(&mut self) {
        let me = self.context.me();
        let orphans: Vec<(ServerName, bool)> = self
            .context
            .ledger
            .all_away()
            .filter(|record| !self.cases.contains_key(&record.claim.function))
            .filter(|record| !self.errands.contains_key(&record.claim.function))
            .filter(|record| !self.is_examined_here(&record.claim.function))
            .filter(|record| self.heir(&record.claim.owner).as_ref() == Some(&me))
            .map(|record| {
                let known = record.claim.owner == me && record.state.host.is_some();
                (record.claim.function.clone(), known)
            })
            .collect();
        for (function, known) in orphans.into_iter().filter(|(function, _)| *function != me) {
            if known {
                self.resume(&function);
            } else {
                self.inherit(&function);
            }
        }
    }

    /// Who is out of the group leaves its recoveries to who claimed it, and says how far they are:
    /// else the VIP would have to wait until all that it may have granted is out.
    pub(super) fn hand_over(&mut self) {
        let Some(record) = self.context.ledger.away(&self.context.config.me) else {
            return;
        };
        let (heir, out) = (record.claim.owner.clone(), record.claim.epoch);
        if heir == self.context.config.me || self.context.in_group() {
            return;
        }
        let cases = self.cases.values().filter_map(Case::left);
        let doubts = self.managers.values().filter_map(Manager::left);
        let left: Vec<(Claim, Now)> = cases.chain(doubts).collect();
        for (
            Claim {
                function, epoch, ..
            },
            until,
        ) in left
        {
            self.leave(&function);
            let left_ms = Now(until.since(self.context.now)).as_millis() + 1;
            let message = Message::HandOver {
                function,
                epoch,
                out,
                left_ms,
            };
            self.context.send(&heir, message);
        }
    }

    /// When no holder under an older claim is left, if a claim of ours was won just now.
    fn out(&self, claim: &Claim) -> Now {
        let handed = self.handed.get(&claim.function).filter(|handed| {
            // Its sender could not act for the function since: it is out under the same claim.
            let record = self.context.ledger.away(&handed.sender);
            handed.epoch.next() == claim.epoch
                && record.is_some_and(|record| record.claim.epoch == handed.out)
        });
        let out = self.context.out(&claim.function);
        handed.map_or(out, |handed| out.min(handed.until))
    }

    /// Our own fresh claim, whose target is still in Network examination mode.
    fn is_examined_here(&self, function: &ServerName) -> bool {
        let busy = |m: &Manager| !m.is_idle() && !matches!(m.mode, Mode::Waiting { .. });
        self.managers.get(function).is_some_and(busy)
    }

    /// Who answers for the claims of `owner`: itself while it is in the group, else the owner of
    /// the claim on it, and so on.
    fn heir(&self, owner: &ServerName) -> Option<ServerName> {
        let mut heir = owner.clone();
        for _ in 0..self.context.config.base.len() {
            if self.context.group.contains(&heir) {
                return Some(heir);
            }
            heir = self.context.ledger.away(&heir)?.claim.owner.clone();
        }
        None
    }

    pub(super) fn inherit(&mut self, function: &ServerName) {
        if self.errands.contains_key(function) || !self.context.in_group() {
            return;
        }
        let claim = self.context.claim_next(function, Purpose::Recover);
        let retry = self.context.now + self.context.timings().t_va;
        self.errands
            .insert(function.clone(), Errand { claim, retry });
    }

    /// Opens the case of a claim of ours that has none: inherited, or from before a restart.
    pub(super) fn resume(&mut self, function: &ServerName) {
        let Some(record) = self.context.ledger.away(function).cloned() else {
            return;
        };
        let partner = self
            .managers
            .get(function)
            .and_then(|manager| manager.partner.clone());
        let out = self.out(&record.claim);
        self.handed.remove(function);
        let context = &mut self.context;
        let case = Case::resume(context, record.claim, &record.state, partner, out);
        self.context.look_again();
        self.cases.insert(function.clone(), case);
        if let Some(manager) = self.managers.get_mut(function) {
            manager.follow(&mut self.context, Mode::BackupServer);
        }
    }

    /// Gives a claim for `target` back. One that somebody else made later settles ours too, and is theirs to
    /// end: home is not claimed over their backup VM.
    pub(super) fn withdraw(&mut self, target: &ServerName) {
        let away = self.context.ledger.away(target);
        if away.is_some_and(|record| record.claim.owner != self.context.config.me) {
            return;
        }
        let claim = self.context.claim_next(target, Purpose::Home);
        let retry = self.context.now + self.context.timings().t_va;
        self.errands.insert(target.clone(), Errand { claim, retry });
    }

    /// Gives back what we may have claimed and nobody here is at any more: until that is settled, no
    /// word of ours counts for the function. A reading settles nothing, for the claim may still be on
    /// its way; one that was made later does. Who is out of the group is refused every claim, so this
    /// waits.
    pub(super) fn give_back(&mut self) {
        let context = &self.context;
        let idle = |name: &ServerName| self.managers.get(name).is_none_or(Manager::is_idle);
        let left: Vec<ServerName> = context
            .all_open()
            .filter(|_| context.in_group())
            .filter(|name| context.ledger.away(name).is_none() && idle(name))
            .filter(|name| !self.errands.contains_key(*name) && !self.cases.contains_key(*name))
            .cloned()
            .collect();
        for function in left {
            self.withdraw(&function);
        }
    }
}
