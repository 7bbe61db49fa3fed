//! Background jobs 1 and 2: bring a failed target back (paper, section 3.1, Fig. 7(b)).
//!
//! ```text
//!  job 1                                     job 2
//!  restart check --T_rc--> wake-on-LAN       VIP off (confirmed) --> reboot
//!      |                       |                                       |
//!      | network                | network                               | network gone, or
//!      v                       v                                       v back as a new boot
//!      +-----------------> await service <------------------------------+
//!                              | healthy             ^
//!                              v                     | not healthy
//!                     healthy for as long as asked --+
//!                              |
//!                              v
//!                             up            t_up over, anywhere after T_rc: down -> watch
//! ```
//!
//! * restart check: a target that was restarted by hand (Nt1) answers again within T_rc; only
//!   after that it counts as stopped (Nt2) and is woken.
//! * await service: ping alone proves nothing, a booting machine answers it before its services
//!   run. `up` means that every service was examined healthy.
//!   A service that stays away is restarted through the agent now and then.
//! * up: until its function is at home the target is examined every T_im. One that is lost again
//!   begins with the restart check again.
//! * watch: after `down` the target is examined every T_im, so that one repaired by hand
//!   comes home too.

use super::Event;
use super::context::Context;
use super::exam::{Exam, Verdict};
use super::io::{Asker, ExamId, Now, Output};
use super::message::{Depth, Message};
use crate::cluster::{Epoch, ServerName, Service};

/// What brought the target down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its network: job 1.
    Network,
    /// A service that a restart did not cure: job 2.
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    RestartCheck { until: Now },
    AwaitNetwork { until: Now, wake: Now },
    DropVip { until: Now },
    Reboot { until: Now },
    AwaitService { until: Now },
    Healthy { until: Now },
    Up,
    Watch,
}

/// What a step of the job led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The target let its VIP go (job 2).
    VipOff,
    /// up.file
    Up,
    /// down.file
    Down,
}

/// A background job for one target.
#[derive(Debug)]
pub(super) struct Job {
    target: ServerName,
    epoch: Epoch,
    step: Step,
    exam: Option<Exam>,
    next: Now,
    /// The target's boot when the job began, as far as it told.
    boot: Option<u64>,
    network: bool,
    next_cure: Now,
}

impl Job {
    pub(super) fn start(
        context: &mut Context,
        target: &ServerName,
        epoch: Epoch,
        cause: Cause,
    ) -> Self {
        let timings = context.timings();
        let step = Step::DropVip {
            until: context.now + timings.grant_ttl,
        };
        let mut job = Self {
            target: target.clone(),
            epoch,
            step,
            exam: None,
            next: context.now,
            boot: None,
            network: false,
            next_cure: Now::default(),
        };
        if cause == Cause::Network {
            job.check(context);
        }
        job.tick(context);
        job
    }

    /// The claim was renewed: orders carry its epoch.
    pub(super) fn raise(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    pub(super) fn is_up(&self) -> bool {
        self.step == Step::Up
    }

    pub(super) fn deadline(&self, context: &Context) -> Now {
        let until = match self.step {
            Step::RestartCheck { until }
            | Step::DropVip { until }
            | Step::Reboot { until }
            | Step::AwaitService { until }
            | Step::Healthy { until }
            | Step::AwaitNetwork { until, .. } => until,
            Step::Watch | Step::Up => self.next,
        };
        let next = self
            .exam
            .as_ref()
            .map_or(self.next, |exam| exam.deadline(context));
        until.min(next)
    }

    /// Running examinations prove nothing: the node was late.
    pub(super) fn void(&mut self, context: &Context) {
        self.exam = None;
        self.next = context.now;
    }

    pub(super) fn tick(&mut self, context: &mut Context) -> Option<Outcome> {
        let now = context.now;
        match self.step {
            Step::RestartCheck { until } if now >= until => {
                if let Some(mac) = context.data(&self.target).map(|data| data.mac) {
                    context.log(Event::Wol {
                        target: self.target.clone(),
                        mac,
                    });
                }
                self.wake(context);
                let (t_up, t_im) = (context.timings().t_up, context.timings().t_im);
                self.step = Step::AwaitNetwork {
                    until: now + t_up,
                    wake: now + t_im,
                };
            }
            Step::AwaitNetwork { until, .. }
            | Step::AwaitService { until }
            | Step::Reboot { until }
                if now >= until =>
            {
                self.step = Step::Watch;
                self.exam = None;
                context.log(Event::JobDown {
                    target: self.target.clone(),
                });
                return Some(Outcome::Down);
            }
            Step::AwaitNetwork { until, wake } if now >= wake => {
                self.wake(context);
                self.step = Step::AwaitNetwork {
                    until,
                    wake: now + context.timings().t_im,
                };
            }
            Step::DropVip { until } if now >= until => self.reboot(context),
            Step::Healthy { until } if now >= until => return Some(self.up(context)),
            _ => {}
        }
        if self
            .exam
            .as_ref()
            .is_some_and(|exam| exam.is_stale(context))
        {
            self.exam = None;
        }
        if now >= self.next && self.exam.is_none() {
            self.again(context);
        }
        None
    }

    /// What a step does once every `t_wait`.
    fn again(&mut self, context: &mut Context) {
        let timings = context.timings();
        let pause = match self.step {
            Step::Watch | Step::Healthy { .. } | Step::Up => timings.t_im,
            _ => timings.t_wait,
        };
        self.next = context.now + pause;
        let epoch = self.epoch;
        match self.step {
            Step::DropVip { .. } => {
                context.send(&self.target, Message::DropVip { epoch });
                return;
            }
            Step::Reboot { .. } => context.send(&self.target, Message::Reboot { epoch }),
            _ => {}
        }
        self.exam = Some(Exam::start(
            context,
            Asker::Job,
            &self.target,
            Depth::Service,
        ));
    }

    /// Is the target restarting, or stopped?
    fn check(&mut self, context: &mut Context) {
        context.log(Event::RestartCheck {
            target: self.target.clone(),
        });
        self.network = false;
        self.step = Step::RestartCheck {
            until: context.now + context.timings().t_rc,
        };
    }

    fn wake(&mut self, context: &mut Context) {
        if let Some(mac) = context.data(&self.target).map(|data| data.mac) {
            context.out.push(Output::Wake(mac));
        }
    }

    fn reboot(&mut self, context: &mut Context) {
        context.log(Event::Reboot {
            target: self.target.clone(),
        });
        self.step = Step::Reboot {
            until: context.now + context.timings().t_up,
        };
        self.exam = None;
        self.next = context.now;
    }

    /// The target says that its VIP is off.
    pub(super) fn vip_dropped(&mut self, context: &mut Context) -> Option<Outcome> {
        let Step::DropVip { .. } = self.step else {
            return None;
        };
        if let Some(vip) = context.data(&self.target).map(|data| data.vip) {
            context.log(Event::VipRemoved {
                target: self.target.clone(),
                vip,
            });
        }
        self.reboot(context);
        self.tick(context);
        Some(Outcome::VipOff)
    }

    /// The target's agent asks for its function: a new boot means that the reboot happened.
    pub(super) fn asked(&mut self, context: &Context, boot: u64) {
        let known = *self.boot.get_or_insert(boot);
        if known != boot {
            self.boot = Some(boot);
            self.rebooted(context);
        }
    }

    fn rebooted(&mut self, context: &Context) {
        if let Step::Reboot { .. } = self.step {
            self.step = Step::AwaitService {
                until: context.now + context.timings().t_up,
            };
        }
    }

    pub(super) fn pinged(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        ok: bool,
    ) -> Option<Outcome> {
        let verdict = self.exam.as_mut()?.pinged(context, id, ok);
        if ok && !self.network {
            self.network = true;
            // A booting machine gets time for its services.
            self.next_cure = context.now + 2 * context.timings().t_im;
            if matches!(
                self.step,
                Step::RestartCheck { .. } | Step::AwaitNetwork { .. }
            ) {
                context.log(Event::JobNetworkUp {
                    target: self.target.clone(),
                });
                self.step = Step::AwaitService {
                    until: context.now + context.timings().t_up,
                };
            } else if let Step::AwaitService { .. } = self.step {
                context.log(Event::JobNetworkUp {
                    target: self.target.clone(),
                });
            }
        }
        verdict.and_then(|verdict| self.verdict(context, verdict))
    }

    pub(super) fn probed(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        service: Service,
        ok: bool,
    ) -> Option<Outcome> {
        let verdict = self.exam.as_mut()?.probed(id, service, ok)?;
        self.verdict(context, verdict)
    }

    fn verdict(&mut self, context: &mut Context, verdict: Verdict) -> Option<Outcome> {
        self.exam = None;
        match (self.step, verdict) {
            (Step::Reboot { .. }, Verdict::NoNetwork) => {
                self.network = false;
                self.rebooted(context);
            }
            (Step::AwaitService { .. } | Step::Watch, Verdict::Healthy) => {
                context.log(Event::JobServiceUp {
                    target: self.target.clone(),
                });
                let hold = context.hold(&self.target);
                if hold.is_zero() {
                    return Some(self.up(context));
                }
                self.step = Step::Healthy {
                    until: context.now + hold,
                };
            }
            (Step::Healthy { .. } | Step::Up, Verdict::NoService(_)) => {
                self.step = Step::AwaitService {
                    until: context.now + context.timings().t_up,
                };
            }
            (Step::Healthy { .. } | Step::Up, Verdict::NoNetwork) => self.check(context),
            (_, Verdict::NoNetwork) => self.network = false,
            (Step::AwaitService { .. } | Step::Watch, Verdict::NoService(_)) => {
                self.cure(context);
            }
            _ => {}
        }
        None
    }

    /// The network is there, a service is not: its agent, if it runs, restarts it now and then.
    fn cure(&mut self, context: &mut Context) {
        if context.now >= self.next_cure {
            self.next_cure = context.now + 2 * context.timings().t_im;
            context.send(&self.target, Message::RestartService);
        }
    }

    fn up(&mut self, context: &mut Context) -> Outcome {
        self.step = Step::Up;
        self.exam = None;
        self.next = context.now + context.timings().t_im;
        context.log(Event::JobUp {
            target: self.target.clone(),
        });
        Outcome::Up
    }
}
