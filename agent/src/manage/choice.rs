//! Which host a backup VM starts on, and its start ahead of the decision.
//!
//! A claim is won some time before the target is found silent again and the recovery is decided on. The
//! VM starts in that time: it has no VIP before the owner of the claim orders that. If the target is well
//! after all the claim is given back, and a host whose claim is given back destroys its VM. Several VMs
//! that start at once slow each other, so one that may not be needed does not start beside others.

use std::collections::BTreeMap;

use super::claim::{Claim, Phase, Record};
use super::context::Context;
use super::io::Now;
use super::message::Message;
use super::placement::{Field, Request};
use crate::cluster::ServerName;

impl Context {
    /// The host that placement favours, none of the `excluded`. Functions that were claimed together are
    /// placed together: of those that have no host yet, the ones before this count as placed by their
    /// owners, who go by the same.
    pub(super) fn host_for(
        &self,
        target: &ServerName,
        excluded: &[ServerName],
    ) -> Option<ServerName> {
        let mut vms = self.running();
        // Our own claim does not count against the host it names.
        let own = self.ledger.get(target);
        if let Some(count) = own
            .and_then(|record| record.state.host.as_ref())
            .and_then(|host| vms.get_mut(host))
        {
            *count = count.saturating_sub(1);
        }
        let group = &self.group;
        let silent = group.names().filter(|name| self.is_silent(name));
        let silent: Vec<ServerName> = silent.cloned().collect();
        let failed: Vec<ServerName> = excluded.iter().chain(&silent).cloned().collect();
        let samples = self.samples();
        let field = Field::new(group, &samples);
        let place = |function: &ServerName, excluded: &[ServerName], vms: &BTreeMap<_, u32>| {
            let data = self.data(function)?;
            let needs = &self.config.vm_memory_kb;
            field.choose(&Request {
                function,
                server_type: data.server_type,
                need_kb: needs.get(function).copied().unwrap_or(0),
                group,
                excluded,
                at_hand: &self.standby_hosts_of(function),
                activation: self.config.settings.activation,
                vms,
            })
        };
        for other in self.unplaced().take_while(|other| *other != target) {
            if let Some(host) = place(other, &silent, &vms) {
                *vms.entry(host).or_default() += 1;
            }
        }
        place(target, &failed, &vms)
    }

    /// When loads are known, and claims that others won together with ours just now.
    pub(super) fn answered_claims(&self) -> Now {
        let told = self.now + self.timings().t_wait / 4;
        told.max(self.answered_loads())
    }

    /// Has the backup VM of a function that was claimed, and may be well yet, started; not while another
    /// function waits for its own, which that would slow.
    pub(super) fn start_ahead(&mut self, claim: &Claim) {
        let (function, epoch) = (claim.function.clone(), claim.epoch);
        let waits = |record: &Record| {
            record.claim.function != function
                && matches!(record.state.phase, Phase::Examining | Phase::Starting)
        };
        if self.ledger.all_away().any(waits) {
            return;
        }
        if let Some(host) = self.host_for(&function, &[]) {
            self.set_state(claim, Phase::Starting, Some(host.clone()));
            self.send(&host, Message::Activate { function, epoch });
        }
    }

    /// Where it was started ahead.
    pub(super) fn started_ahead(&self, claim: &Claim) -> Option<ServerName> {
        let record = self.ledger.get(&claim.function);
        let record = record.filter(|record| record.claim == *claim)?;
        record.state.host.clone()
    }

    /// Whether a host is neither lost nor silent.
    pub(super) fn is_able(&self, host: &ServerName) -> bool {
        self.group.contains(host) && !self.is_silent(host)
    }
}
