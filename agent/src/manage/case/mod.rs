//! One recovery that this server owns: Backup server mode and Target server recovery mode.
//!
//! ```text
//!         Backup server mode                          Target server recovery mode
//!  place ---> starting ---> await VIP ---> serving ---> releasing ---> returning ---> homecoming
//!    ^           |             |             |   (job up, target asks)  (claim Home)       |
//!    |           v             v             v                                             v
//!    +------ reclaim <-- host failed, silent or lost                                   recovered
//! ```
//!
//! * place: the host is chosen by placement; if nobody has room, again and again.
//! * starting: `Activate` is repeated until the host says that the VM runs, or why not. A host that
//!   stays silent may still do it: so the function is claimed anew before the next host is asked.
//! * await VIP: every older holder must be out first. In the paper's profile this is over by then.
//! * serving: clients are served. The background job works on the target. The VM's host asks for
//!   grants; when it is lost or stops asking, the function is claimed anew and placed elsewhere
//!   (Fig. 9(d)).
//! * releasing: the job says up and the target's agent asks for its function. The VM drops the
//!   VIP and is destroyed.
//! * returning: the next epoch is claimed for home; the server is back in the group.
//! * homecoming: grant and flag go to the target until it says that it holds the VIP; then U. A target that
//!   is slow to say so is watched again meanwhile, and believed when it does.
//!
//! With job down, D goes to P2 and the managers end, but the case stays: somebody must grant
//! for the VM, and take the target back when a human has repaired it.

use crate::manage::Event;
mod home;
mod host;

use std::time::Duration;

use crate::cluster::{Epoch, ServerName};
use crate::manage::claim::{Claim, Phase, Record, State};
use crate::manage::context::Context;
use crate::manage::io::{ClaimResult, Now, Output};
use crate::manage::job::{Cause, Job, Outcome};
use crate::manage::message::Message;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Place { retry: Now },
    Starting { host: ServerName, until: Now },
    AwaitVip { host: ServerName, until: Now },
    Serving { host: ServerName },
    Reclaim { claim: Claim, retry: Now },
    Releasing { host: ServerName, until: Now },
    Returning { claim: Claim, retry: Now },
    Homecoming { until: Now },
}

/// What the target's own agent last said.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Now,
    stamp_ms: u64,
}

/// Where a case stands, for the management program that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The function is not served.
    Backup,
    /// The backup VM serves; the target is awaited.
    Target,
    /// The target cannot be recovered: D was sent.
    GivenUp,
    /// It is over: U was sent, and the target has said that it holds its VIP or not yet.
    Closed { held: bool },
}

/// A recovery under an own claim.
#[derive(Debug)]
pub(super) struct Case {
    claim: Claim,
    stage: Stage,
    job: Job,
    partner: Option<ServerName>,
    excluded: Vec<ServerName>,
    /// No older holder is left after this.
    not_before: Now,
    /// A VM may have the VIP, or have had it.
    vip_ordered: bool,
    asked: Option<Asked>,
    /// When the VM's host last asked for its grant: a sign that the VM lives.
    served: Now,
    next: Now,
    progress: Progress,
    told_no_room: bool,
    told_claim: bool,
}

impl Case {
    /// Opens a case under a claim that was just won.
    pub(super) fn open(
        context: &mut Context,
        claim: Claim,
        cause: Cause,
        partner: Option<ServerName>,
        not_before: Now,
    ) -> Self {
        context.fault(&claim.function);
        let mut case = Self::unplaced(context, claim, cause, partner, not_before);
        case.place(context);
        case
    }

    /// Goes on with the recovery of a lost owner, or of ourselves before a restart. A VM that
    /// serves goes on serving.
    pub(super) fn resume(
        context: &mut Context,
        claim: Claim,
        state: &State,
        partner: Option<ServerName>,
        not_before: Now,
    ) -> Self {
        let mut case = Self::unplaced(context, claim, Cause::Network, partner, not_before);
        match &state.host {
            Some(host) if context.group.contains(host) => {
                let host = host.clone();
                case.start_on(context, host);
            }
            _ => case.place(context),
        }
        case
    }

    fn unplaced(
        context: &mut Context,
        claim: Claim,
        cause: Cause,
        partner: Option<ServerName>,
        not_before: Now,
    ) -> Self {
        let job = Job::start(context, &claim.function, claim.epoch, cause);
        Self {
            stage: Stage::Place { retry: context.now },
            job,
            partner,
            excluded: Vec::new(),
            not_before,
            vip_ordered: false,
            asked: None,
            served: context.now,
            next: context.now,
            progress: Progress::Backup,
            told_no_room: false,
            told_claim: false,
            claim,
        }
    }

    /// The claim, and when no older holder is left, if no VM had the VIP under it and another server
    /// can go on from here.
    pub(super) fn left(&self) -> Option<(Claim, Now)> {
        let early = matches!(
            self.stage,
            Stage::Place { .. } | Stage::Starting { .. } | Stage::AwaitVip { .. }
        );
        (early && !self.vip_ordered).then(|| (self.claim.clone(), self.not_before))
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.claim.epoch
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// The background job, for results of its examinations.
    pub(super) fn job(&mut self) -> &mut Job {
        &mut self.job
    }

    fn host(&self) -> Option<&ServerName> {
        match &self.stage {
            Stage::Starting { host, .. }
            | Stage::AwaitVip { host, .. }
            | Stage::Serving { host }
            | Stage::Releasing { host, .. } => Some(host),
            _ => None,
        }
    }

    fn target(&self) -> ServerName {
        self.claim.function.clone()
    }

    /// Repeats the order of the present stage.
    fn order(&mut self, context: &mut Context) {
        self.next = context.now + context.timings().t_wait;
        let (function, epoch) = (self.target(), self.claim.epoch);
        match &self.stage {
            Stage::Starting { host, .. } => {
                context.send(host, Message::Activate { function, epoch });
            }
            Stage::AwaitVip { host, .. } if context.now >= self.not_before => {
                self.vip_ordered = true;
                context.send(host, Message::SetVip { function, epoch });
            }
            Stage::AwaitVip { .. } => self.next = self.not_before,
            Stage::Releasing { host, .. } => {
                context.send(host, Message::Release { function, epoch });
            }
            Stage::Homecoming { .. } => self.call_home(context),
            _ => {}
        }
    }

    /// What came of a claim of ours for this function. False when it is over for us.
    pub(super) fn claimed(
        &mut self,
        context: &mut Context,
        claim: &Claim,
        result: &ClaimResult,
    ) -> bool {
        let pause = context.now + context.timings().t_wait;
        let (ours, home) = match &mut self.stage {
            Stage::Reclaim { claim, retry } => ((claim, retry), false),
            Stage::Returning { claim, retry } => ((claim, retry), true),
            _ => return true,
        };
        if ours.0 != claim {
            return true;
        }
        match result {
            ClaimResult::Won => {
                let out = context.out(&claim.function);
                self.claim = claim.clone();
                self.told_claim = false;
                self.job.raise(claim.epoch);
                let (target, epoch) = (claim.function.clone(), claim.epoch);
                context.log(Event::Claimed { target, epoch });
                context.publish(Record {
                    claim: claim.clone(),
                    state: State::default(),
                });
                if home {
                    let until = context.now + 2 * context.timings().t_nd;
                    self.stage = Stage::Homecoming { until };
                    context.log(Event::FlagSent {
                        target: self.target(),
                    });
                    self.order(context);
                } else {
                    self.not_before = self.not_before.max(out);
                    self.place(context);
                }
                true
            }
            ClaimResult::Lost(record) => {
                let (target, epoch) = (claim.function.clone(), claim.epoch);
                context.log(Event::ClaimLost { target, epoch });
                context.learn(Record::clone(record));
                false
            }
            ClaimResult::Failed(reason) => {
                *ours.1 = pause;
                if !std::mem::replace(&mut self.told_claim, true) {
                    let (target, reason) = (claim.function.clone(), reason.clone());
                    context.log(Event::ClaimFailed { target, reason });
                }
                true
            }
        }
    }

    /// A result of the background job.
    pub(super) fn outcome(&mut self, context: &mut Context, outcome: Outcome) {
        match outcome {
            Outcome::VipOff => {
                // The only older holder said that it let go, unless a VM held the VIP since.
                if !self.vip_ordered {
                    self.not_before = context.now;
                }
                if let Stage::AwaitVip { .. } = self.stage {
                    self.order(context);
                }
            }
            Outcome::Up => self.tick(context),
            Outcome::Down => {
                let target = self.target();
                if let Some(to) = self.partner.clone() {
                    context.send(
                        &to,
                        Message::D {
                            target: target.clone(),
                        },
                    );
                    context.log(Event::DSent { target, to });
                }
                if let Stage::Serving { host } = &self.stage {
                    context.set_state(&self.claim, Phase::GivenUp, Some(host.clone()));
                }
                self.progress = Progress::GivenUp;
            }
        }
    }

    /// The node was late.
    pub(super) fn void(&mut self, context: &Context) {
        self.job.void(context);
    }

    /// So much later no older holder is left.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.not_before = self.not_before + by;
    }

    pub(super) fn deadline(&self, context: &Context) -> Now {
        let stage = match &self.stage {
            Stage::Place { retry }
            | Stage::Reclaim { retry, .. }
            | Stage::Returning { retry, .. } => *retry,
            Stage::Starting { until, .. }
            | Stage::AwaitVip { until, .. }
            | Stage::Releasing { until, .. }
            | Stage::Homecoming { until } => self.next.min(*until),
            Stage::Serving { .. } => context.now + context.timings().t_wait,
        };
        self.job.deadline(context).min(stage)
    }

    pub(super) fn tick(&mut self, context: &mut Context) {
        if let Some(outcome) = self.job.tick(context) {
            self.outcome(context, outcome);
        }
        match self.stage.clone() {
            Stage::Place { retry } if context.now >= retry => self.place(context),
            Stage::Starting { host, until } | Stage::AwaitVip { host, until } => {
                self.tick_starting(context, host, until);
            }
            Stage::Serving { host } => self.tick_serving(context, host),
            Stage::Reclaim { claim, retry } | Stage::Returning { claim, retry }
                if context.now >= retry =>
            {
                let next = context.now + context.timings().t_wait;
                if let Stage::Reclaim { retry, .. } | Stage::Returning { retry, .. } =
                    &mut self.stage
                {
                    *retry = next;
                }
                context.out.push(Output::Claim(claim));
            }
            Stage::Releasing { host, until } => {
                if Self::is_lost(context, &host) || context.now >= until {
                    // Under a new claim its lease runs out by itself.
                    self.reclaim(context);
                } else if context.now >= self.next {
                    self.order(context);
                }
            }
            Stage::Homecoming { until } => {
                if context.now >= until {
                    self.close(context, false);
                } else if context.now >= self.next {
                    self.order(context);
                }
            }
            _ => {}
        }
    }

    fn is_lost(context: &Context, host: &ServerName) -> bool {
        !context.group.contains(host)
    }

    fn tick_starting(&mut self, context: &mut Context, host: ServerName, until: Now) {
        if Self::is_lost(context, &host) {
            let target = self.target();
            context.log(Event::HostLost {
                target,
                host: host.clone(),
            });
            self.excluded.push(host);
            self.reclaim(context);
        } else if self.may_go_home(context) {
            self.release_from(context, host);
        } else if context.now >= until || context.is_silent(&host) {
            let (function, epoch) = (self.target(), self.claim.epoch);
            context.send(&host, Message::Release { function, epoch });
            self.host_failed(context, host, "no answer in time".to_owned());
            self.reclaim(context);
        } else if context.now >= self.next {
            self.order(context);
            if host != context.config.me {
                context.scouts.push(host);
            }
        }
    }

    fn tick_serving(&mut self, context: &mut Context, host: ServerName) {
        let silent = context.now.since(self.served) > context.timings().vm_ttl;
        if silent || Self::is_lost(context, &host) {
            context.log(Event::HostLost {
                target: self.target(),
                host,
            });
            self.reclaim(context);
        } else if self.may_go_home(context) {
            self.release_from(context, host);
        }
    }
}
