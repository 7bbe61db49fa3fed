//! Target server recovery mode: the VM lets go, the target takes its function back.

use super::{Asked, Case, Progress, Stage};
use crate::cluster::{Epoch, ServerName};
use crate::manage::Event;
use crate::manage::claim::Purpose;
use crate::manage::context::Context;
use crate::manage::message::Message;

impl Case {
    /// The host says that the VM is gone.
    pub(in crate::manage) fn released(&mut self, context: &mut Context, from: &ServerName) {
        let Stage::Releasing { host, .. } = &self.stage else {
            return;
        };
        if host == from {
            self.release_done(context);
        }
    }

    pub(super) fn release_done(&mut self, context: &mut Context) {
        let Stage::Releasing { host, .. } = &self.stage else {
            return;
        };
        let target = self.target();
        let (vm, host) = (
            context
                .data(&target)
                .map_or(target.clone(), |d| d.vm_name.clone()),
            host.clone(),
        );
        context.log(Event::VmReleased { target, vm, host });
        if context.now >= self.not_before {
            self.go_home(context);
        } else {
            // A host from before this claim may hold the VIP still.
            let retry = self.not_before;
            self.stage = Stage::Place { retry };
        }
    }

    /// Claims the next epoch for home. No VM holds the VIP any more.
    pub(super) fn go_home(&mut self, context: &mut Context) {
        let claim = context.claim_next(&self.claim.function, Purpose::Home);
        let retry = context.now + context.timings().t_va;
        self.stage = Stage::Returning { claim, retry };
    }

    /// Whether the target is up and its agent there to take its function back.
    pub(super) fn may_go_home(&self, context: &Context) -> bool {
        self.job.is_up() && self.target_asks(context)
    }

    pub(super) fn release_from(&mut self, context: &mut Context, host: ServerName) {
        let until = context.now + context.timings().t_va;
        self.stage = Stage::Releasing { host, until };
        self.order(context);
    }

    /// Somebody asks for a grant of this function.
    pub(in crate::manage) fn ask(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        epoch: Epoch,
        stamp_ms: u64,
        boot: u64,
    ) {
        if *from == self.claim.function {
            self.asked = Some(Asked {
                at: context.now,
                stamp_ms,
            });
            self.job.asked(context, boot);
            if let Stage::Homecoming { .. } = self.stage {
                self.call_home(context);
                return;
            }
        }
        let serving = matches!(self.stage, Stage::Serving { .. } | Stage::AwaitVip { .. });
        // A newer claim may be known that this case does not follow yet.
        let newest = context.ledger.epoch(&self.claim.function);
        let current = epoch == self.claim.epoch && epoch == newest;
        if serving && self.host() == Some(from) && current {
            self.served = context.now;
            context.grant(&self.target(), from, epoch, stamp_ms);
        } else if let Some(record) = context.ledger.get(&self.claim.function).cloned() {
            context.refuse(from, record);
        }
    }

    /// Grant and flag to a target whose function is at home again.
    pub(super) fn call_home(&mut self, context: &mut Context) {
        let target = self.target();
        let epoch = self.claim.epoch;
        context.send(&target, Message::Flag);
        if let Some(asked) = self.asked {
            context.grant(&target, &target, epoch, asked.stamp_ms);
        }
    }

    /// The target holds its VIP.
    pub(in crate::manage) fn holding(&mut self, context: &mut Context, epoch: Epoch) {
        if matches!(self.stage, Stage::Homecoming { .. }) && epoch == self.claim.epoch {
            Self::recovered(context, self.target());
            self.close(context, true);
        }
    }

    pub(super) fn close(&mut self, context: &mut Context, held: bool) {
        let target = self.target();
        if let Some(to) = self.partner.clone() {
            context.send(
                &to,
                Message::U {
                    target: target.clone(),
                },
            );
            context.log(Event::USent { target, to });
        }
        self.progress = Progress::Closed { held };
    }

    /// Whether the target's agent is there to take its function back.
    pub(super) fn target_asks(&self, context: &Context) -> bool {
        let span = 4 * context.timings().grant_every;
        self.asked
            .is_some_and(|asked| context.now.since(asked.at) < span)
    }

    /// Says that the target is home.
    pub(in crate::manage) fn recovered(context: &mut Context, target: ServerName) {
        if let Some(vip) = context.data(&target).map(|data| data.vip) {
            context.log(Event::TargetRecovered { target, vip });
        }
    }
}
