//! Backup server mode: choose a host, have the VM started there, have its VIP set.

use std::collections::BTreeMap;

use super::{Case, Progress, Stage};
use crate::cluster::{Epoch, ServerName};
use crate::manage::Event;
use crate::manage::claim::{Phase, Purpose};
use crate::manage::context::Context;
use crate::manage::placement::{Field, Request};

impl Case {
    pub(super) fn place(&mut self, context: &mut Context) {
        if self.may_go_home(context) {
            // No VM is needed any more; but an older holder must be out.
            self.stage = Stage::Place {
                retry: self.not_before,
            };
            if context.now >= self.not_before {
                self.go_home(context);
            }
            return;
        }
        context.ask_loads();
        let retry = context.answered_loads();
        if context.now < retry {
            self.stage = Stage::Place { retry };
            return;
        }
        let target = self.target();
        match self.chosen(context) {
            Some(host) => {
                self.told_no_room = false;
                let vm = context
                    .data(&target)
                    .map_or(target.clone(), |data| data.vm_name.clone());
                context.log(Event::VmStart {
                    target,
                    vm,
                    host: host.clone(),
                });
                self.start_on(context, host);
            }
            None => {
                self.excluded.clear();
                let retry = context.now + 2 * context.timings().t_wait;
                self.stage = Stage::Place { retry };
                if !self.told_no_room {
                    self.told_no_room = true;
                    context.log(Event::NoRoom { target });
                }
            }
        }
    }

    /// The host that placement favours. Functions that were claimed together are placed together: of
    /// those that have no host yet, the ones before ours count as placed by their owners, who go by
    /// the same.
    fn chosen(&self, context: &Context) -> Option<ServerName> {
        let target = self.target();
        let mut vms = context.running();
        // Our own claim does not count against the host it names.
        let own = context.ledger.get(&target);
        if let Some(count) = own
            .and_then(|record| record.state.host.as_ref())
            .and_then(|host| vms.get_mut(host))
        {
            *count = count.saturating_sub(1);
        }
        let group = &context.group;
        let silent = group.names().filter(|name| context.is_silent(name));
        let silent: Vec<ServerName> = silent.cloned().collect();
        let failed: Vec<ServerName> = self.excluded.iter().chain(&silent).cloned().collect();
        let samples = context.samples();
        let field = Field::new(group, &samples);
        let place = |function: &ServerName, excluded: &[ServerName], vms: &BTreeMap<_, u32>| {
            let data = context.data(function)?;
            let needs = &context.config.vm_memory_kb;
            field.choose(&Request {
                function,
                server_type: data.server_type,
                need_kb: needs.get(function).copied().unwrap_or(0),
                group,
                excluded,
                at_hand: &context.standby_hosts_of(function),
                activation: context.config.settings.activation,
                vms,
            })
        };
        for other in context.unplaced().take_while(|other| **other != target) {
            if let Some(host) = place(other, &silent, &vms) {
                *vms.entry(host).or_default() += 1;
            }
        }
        place(&target, &failed, &vms)
    }

    pub(super) fn start_on(&mut self, context: &mut Context, host: ServerName) {
        let until = context.now + context.timings().t_va;
        context.set_state(&self.claim, Phase::Starting, Some(host.clone()));
        self.stage = Stage::Starting { host, until };
        self.progress = Progress::Backup;
        self.order(context);
    }

    pub(super) fn host_failed(&mut self, context: &mut Context, host: ServerName, reason: String) {
        let target = self.target();
        let vm = context
            .data(&target)
            .map_or(target.clone(), |data| data.vm_name.clone());
        context.log(Event::VmFailed {
            target,
            vm,
            host: host.clone(),
            reason,
        });
        self.excluded.push(host);
    }

    pub(super) fn reclaim(&mut self, context: &mut Context) {
        self.progress = Progress::Backup;
        let claim = context.claim_next(&self.claim.function, Purpose::Recover);
        self.stage = Stage::Reclaim {
            claim,
            retry: context.now + context.timings().t_va,
        };
    }

    /// The host says that the VM runs, or why not.
    pub(in crate::manage) fn activated(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        epoch: Epoch,
        failure: Option<String>,
    ) {
        let Stage::Starting { host, until } = &self.stage else {
            return;
        };
        if host != from || epoch != self.claim.epoch {
            return;
        }
        let (host, until) = (host.clone(), *until);
        match failure {
            None => {
                let target = self.target();
                let vm = context
                    .data(&target)
                    .map_or(target.clone(), |data| data.vm_name.clone());
                context.log(Event::VmStarted {
                    target,
                    vm,
                    host: host.clone(),
                });
                let until = until.max(self.not_before + context.timings().t_va);
                self.stage = Stage::AwaitVip { host, until };
                self.order(context);
            }
            Some(reason) => {
                self.host_failed(context, host, reason);
                self.place(context);
            }
        }
    }

    /// The host says that the VM has the VIP, or why not.
    pub(in crate::manage) fn vip_set(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        epoch: Epoch,
        failure: Option<String>,
    ) {
        let Stage::AwaitVip { host, .. } = &self.stage else {
            return;
        };
        if host != from || epoch != self.claim.epoch {
            return;
        }
        let host = host.clone();
        let target = self.target();
        let vm = context
            .data(&target)
            .map_or(target.clone(), |data| data.vm_name.clone());
        match failure {
            None => {
                if let Some(vip) = context.data(&target).map(|data| data.vip) {
                    context.log(Event::FunctionRecovered {
                        target,
                        vip,
                        vm,
                        host: host.clone(),
                    });
                }
                context.set_state(&self.claim, Phase::Serving, Some(host.clone()));
                self.stage = Stage::Serving { host };
                self.served = context.now;
                self.excluded.clear();
                self.progress = Progress::Target;
                self.next = context.now;
            }
            Some(reason) => context.log(Event::VmFailed {
                target,
                vm,
                host,
                reason,
            }),
        }
    }
}
