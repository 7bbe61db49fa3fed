//! A backup VM on this server, for a function of another.
//!
//! ```text
//!  Activate    share: epoch      started      SetVip       share: epoch        set
//!  -------> checking -----> starting -----> running -----> checking VIP ----> setting ----> serving
//!                 \              \              \               |              /             |
//!                  +--------------+--------------+----- failed or released ---+-------------+
//! ```
//!
//! The epoch is read from the share right before the VM is resumed and right before its VIP is
//! set. The VM holds the VIP only under a live grant: from the owner of the claim, or, when the
//! owner is silent, from our own reading of the share. Without one it is destroyed.
//! Under a newer claim the same VM goes on: `Activate` of a newer epoch only raises its epoch.

use super::claim::Record;
use super::context::Context;
use super::io::{Now, Output, Query};
use super::message::Message;
use crate::cluster::{Epoch, ServerName};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Checking,
    Starting,
    Running,
    CheckingVip,
    Setting,
    Serving,
    Releasing,
}

/// One backup VM here.
#[derive(Debug)]
pub(super) struct Guest {
    function: ServerName,
    epoch: Epoch,
    owner: ServerName,
    stage: Stage,
    /// Until when it may live; while it starts, until the start must have ended.
    until: Now,
    /// Until when the guest itself holds the VIP; never later than `until`.
    told: Now,
    next_ask: Now,
    /// When the order came.
    ordered: Now,
    answered: Now,
    /// Whom to tell when it is gone, and the epoch of the order.
    confirm: Option<(ServerName, Epoch)>,
    /// When the share is asked again, that did not answer.
    recheck: Option<Now>,
}

impl Guest {
    /// An order to activate: the epoch is checked first.
    pub(super) fn new(
        context: &mut Context,
        from: &ServerName,
        function: &ServerName,
        epoch: Epoch,
    ) -> Self {
        context
            .out
            .push(Output::ReadClaims(Query::One(function.clone())));
        Self {
            function: function.clone(),
            epoch,
            owner: from.clone(),
            stage: Stage::Checking,
            until: context.now + context.timings().t_va,
            told: Now::default(),
            next_ask: context.now,
            ordered: context.now,
            answered: context.now,
            confirm: None,
            recheck: None,
        }
    }

    /// Under which claim it runs.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.stage == Stage::Releasing && self.until == Now::default()
    }

    pub(super) fn deadline(&self) -> Now {
        let due = self.next_ask.min(self.until);
        self.recheck.map_or(due, |at| at.min(due))
    }

    /// The order came again, or under a newer claim.
    pub(super) fn activate(&mut self, context: &mut Context, from: &ServerName, epoch: Epoch) {
        if epoch < self.epoch || self.stage == Stage::Releasing {
            return;
        }
        self.epoch = epoch;
        self.owner = from.clone();
        self.until = self.until.max(context.now + context.timings().self_ttl);
        if matches!(
            self.stage,
            Stage::Running | Stage::CheckingVip | Stage::Setting | Stage::Serving
        ) {
            self.tell_activated(context, None);
        }
    }

    fn tell_activated(&self, context: &mut Context, failure: Option<String>) {
        let (function, epoch) = (self.function.clone(), self.epoch);
        context.send(
            &self.owner,
            Message::Activated {
                function,
                epoch,
                failure,
            },
        );
    }

    fn tell_vip_set(&self, context: &mut Context, failure: Option<String>) {
        let (function, epoch) = (self.function.clone(), self.epoch);
        context.send(
            &self.owner,
            Message::VipSet {
                function,
                epoch,
                failure,
            },
        );
    }

    /// The node started the VM, or could not.
    pub(super) fn started(&mut self, context: &mut Context, result: Result<(), String>) {
        if self.stage != Stage::Starting {
            return;
        }
        match result {
            Ok(()) => {
                self.stage = Stage::Running;
                self.until = context.now + context.timings().t_va;
                self.tell_activated(context, None);
            }
            Err(reason) => {
                self.tell_activated(context, Some(reason));
                self.release(context);
            }
        }
    }

    /// The owner says that older holders are out.
    pub(super) fn set_vip(&mut self, context: &mut Context, epoch: Epoch) {
        if epoch != self.epoch {
            return;
        }
        match self.stage {
            Stage::Running => {
                self.stage = Stage::CheckingVip;
                context
                    .out
                    .push(Output::ReadClaims(Query::One(self.function.clone())));
            }
            Stage::Serving => self.tell_vip_set(context, None),
            _ => {}
        }
    }

    /// The node set the VIP, or could not.
    pub(super) fn vip_set(&mut self, context: &mut Context, result: Result<(), String>) {
        if self.stage != Stage::Setting {
            return;
        }
        match result {
            Ok(()) => {
                self.stage = Stage::Serving;
                self.answered = context.now;
                self.next_ask = context.now;
                self.tell_vip_set(context, None);
            }
            Err(reason) => {
                self.stage = Stage::Running;
                self.until = context.now + context.timings().t_va;
                self.tell_vip_set(context, Some(reason));
            }
        }
    }

    /// The share was read. `newest` is the function's newest record there.
    pub(super) fn read(&mut self, context: &mut Context, begun: Now, newest: Option<&Record>) {
        let mine = newest.is_some_and(|r| r.is_away() && r.claim.epoch == self.epoch);
        let until = begun + context.timings().vm_ttl;
        match self.stage {
            Stage::Checking if mine => {
                self.stage = Stage::Starting;
                context.out.push(Output::StartVm {
                    function: self.function.clone(),
                });
            }
            Stage::Checking => {
                self.tell_activated(context, Some("the claim is not the newest".to_owned()));
                self.gone();
            }
            Stage::CheckingVip if mine && until > context.now => {
                self.stage = Stage::Setting;
                (self.until, self.told) = (until, until);
                self.answered = context.now;
                self.next_ask = context.now + context.timings().grant_every;
                let function = self.function.clone();
                context.out.push(Output::SetVmVip { function, until });
            }
            Stage::CheckingVip => self.stage = Stage::Running,
            Stage::Serving | Stage::Setting if mine => self.extend(context, until),
            _ => {}
        }
    }

    /// The share could not be read. A file server that is only slow is asked again: for T_nd before the VM
    /// starts, when another host might do, and for as long as the owner waits once it runs.
    pub(super) fn unread(&mut self, context: &mut Context, reason: &str) {
        let again = context.now + context.timings().t_wait / 4;
        let last = match self.stage {
            Stage::Checking => self.ordered + context.timings().t_nd,
            Stage::CheckingVip => self.until,
            _ => Now::default(),
        };
        if again < last {
            self.recheck = Some(again);
            return;
        }
        match self.stage {
            Stage::Checking => {
                self.tell_activated(context, Some(format!("cannot check the claim: {reason}")));
                self.gone();
            }
            Stage::CheckingVip => {
                self.stage = Stage::Running;
                self.tell_vip_set(context, Some(format!("cannot check the claim: {reason}")));
            }
            _ => {}
        }
    }

    /// The owner of the claim granted.
    pub(super) fn grant(&mut self, context: &mut Context, epoch: Epoch, until: Now) {
        if epoch == self.epoch && until <= context.now + context.timings().vm_ttl {
            self.answered = context.now;
            self.extend(context, until);
        }
    }

    /// The guest is told only when it gains a quarter of `vm_ttl`: each time starts programs in it.
    fn extend(&mut self, context: &mut Context, until: Now) {
        if !matches!(self.stage, Stage::Serving | Stage::Setting) || until <= self.until {
            return;
        }
        self.until = until;
        if until >= self.told + context.timings().vm_ttl / 4 {
            self.told = until;
            let function = self.function.clone();
            context.out.push(Output::KeepVmVip { function, until });
        }
    }

    /// A newer record became known: someone else serves, or the function is at home.
    pub(super) fn overruled(&mut self, context: &mut Context) {
        let Some(record) = context.ledger.get(&self.function) else {
            return;
        };
        let elsewhere = record
            .state
            .host
            .as_ref()
            .is_some_and(|host| *host != context.config.me);
        if record.claim.epoch > self.epoch && (!record.is_away() || elsewhere) {
            self.release(context);
        }
    }

    /// The owner wants it gone.
    pub(super) fn ordered_off(&mut self, context: &mut Context, from: &ServerName, epoch: Epoch) {
        if epoch >= self.epoch {
            self.confirm = Some((from.clone(), epoch));
            self.release(context);
        }
    }

    fn release(&mut self, context: &mut Context) {
        if self.stage == Stage::Releasing {
            return;
        }
        if self.stage == Stage::Checking {
            self.released(context);
            return;
        }
        self.stage = Stage::Releasing;
        self.until = context.now + context.timings().t_va;
        context.out.push(Output::ReleaseVm {
            function: self.function.clone(),
        });
    }

    /// The node destroyed the VM.
    pub(super) fn released(&mut self, context: &mut Context) {
        if let Some((to, epoch)) = self.confirm.take() {
            let function = self.function.clone();
            context.send(&to, Message::Released { function, epoch });
        }
        self.gone();
    }

    fn gone(&mut self) {
        self.stage = Stage::Releasing;
        self.until = Now::default();
    }

    pub(super) fn tick(&mut self, context: &mut Context) {
        if self.is_gone() {
            return;
        }
        let checking = matches!(self.stage, Stage::Checking | Stage::CheckingVip);
        if self.recheck.take_if(|at| context.now >= *at).is_some() && checking {
            context
                .out
                .push(Output::ReadClaims(Query::One(self.function.clone())));
        }
        if context.now >= self.until {
            if self.stage == Stage::Releasing {
                self.until = context.now + context.timings().t_va;
                context.out.push(Output::ReleaseVm {
                    function: self.function.clone(),
                });
            } else {
                self.release(context);
            }
        }
        if context.now < self.next_ask {
            return;
        }
        let (every, ttl) = (context.timings().grant_every, context.timings().vm_ttl);
        let short = self.until < context.now + ttl / 2;
        self.next_ask = context.now + if short { every / 2 } else { every };
        // A guest that is slow to set its VIP must not lose it to a grant that was not renewed.
        if !matches!(self.stage, Stage::Serving | Stage::Setting) {
            return;
        }
        let ask = Message::Ask {
            function: self.function.clone(),
            epoch: self.epoch,
            stamp_ms: context.now.as_millis(),
            boot: context.config.boot,
            short: true,
        };
        context.send(&self.owner, ask);
        if context.now.since(self.answered) > 2 * context.timings().grant_every {
            context.read_claim(&self.function);
        }
    }
}
