//! Claims that nobody here has a case for: those of an owner that is out of the group, our own from
//! before a restart, and those that nobody needs any more.

use super::case::Case;
use super::claim::Purpose;
use super::manager::{Manager, Mode};
use super::{Errand, Management};
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
        let out = self.context.out(function);
        let context = &mut self.context;
        let case = Case::resume(context, record.claim, &record.state, partner, out);
        self.context.look_again();
        self.cases.insert(function.clone(), case);
        if let Some(manager) = self.managers.get_mut(function) {
            manager.follow(&mut self.context, Mode::BackupServer);
        }
    }

    pub(super) fn withdraw(&mut self, target: &ServerName) {
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
