//! Network examination: is the target gone, who else says so, and may we act?

use std::time::Duration;

use super::{Doubt, Manager, Mode, Opinion, Repair, Step, Wish};
use crate::cluster::ServerName;
use crate::manage::Event;
use crate::manage::claim::{Claim, Purpose, Record, State};
use crate::manage::context::Context;
use crate::manage::io::{ClaimResult, Now, Output};
use crate::manage::job::Cause;
use crate::manage::message::{Depth, Message, Sight};

/// How many servers behind a target in trouble are looked at with it.
const SCOUTED: usize = 3;

impl Opinion {
    pub(super) fn new(context: &Context) -> Self {
        Self {
            since: context.now,
            asked: 0,
            unseen: false,
            seen_by: None,
        }
    }

    /// Whether somebody answered.
    pub(super) fn is_known(&self) -> bool {
        self.unseen || self.seen_by.is_some()
    }

    /// Whether the target may be claimed as far as others are concerned: nobody finds it well, and
    /// somebody says so or all had their time.
    pub(super) fn is_against(&self, over: bool) -> bool {
        self.seen_by.is_none() && (self.unseen || over || self.asked == 0)
    }
}

impl Manager {
    pub(super) fn network_trouble(&mut self, context: &mut Context) -> Option<Wish> {
        context.log(Event::NetworkTrouble {
            target: self.target.clone(),
        });
        if let Some(p1) = self.must_wait(context) {
            self.wait_for(context, p1);
            return self.tick(context);
        }
        context.ask_loads();
        let opinion = self.ask_others(context);
        self.scout(context);
        self.mode = Mode::NetworkExamination(Doubt {
            opinion,
            again: false,
            claim: Step::None,
        });
        self.ping(context);
        self.doubt_on(context)
    }

    /// Asks whether others find that the target answers at all.
    fn ask_others(&self, context: &mut Context) -> Opinion {
        let mut opinion = Opinion::new(context);
        for peer in self.witnesses(context) {
            let (target, depth) = (self.target.clone(), Depth::Network);
            context.send(&peer, Message::Confirm { target, depth });
            opinion.asked += 1;
        }
        opinion
    }

    /// Who may be asked about the target: the other manager, then third servers.
    pub(super) fn witnesses(&self, context: &Context) -> Vec<ServerName> {
        let partner = self.partner.as_ref().filter(|name| **name != self.target);
        let thirds = context.witnesses(&self.target, partner);
        partner.cloned().into_iter().chain(thirds).collect()
    }

    /// The servers behind may be gone as well: they are looked at now, by us and by others, so
    /// that all are found together and not one after the other.
    fn scout(&self, context: &mut Context) {
        let me = context.me();
        let near: Vec<ServerName> = context
            .behind(&self.target)
            .filter(|n| **n != me)
            .take(SCOUTED)
            .cloned()
            .collect();
        for name in near {
            for peer in context.witnesses(&name, None) {
                let (target, depth) = (name.clone(), Depth::Network);
                context.send(&peer, Message::Confirm { target, depth });
            }
            context.scouts.push(name);
        }
    }

    /// A peer says whether it finds the target well.
    pub(in crate::manage) fn seen(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        depth: Depth,
        sight: Sight,
    ) -> Option<Wish> {
        let opinion = match (&mut self.mode, depth) {
            (Mode::NetworkExamination(doubt), Depth::Network) => &mut doubt.opinion,
            (
                Mode::ServiceRecovery(Repair::Examining {
                    opinion: Some(opinion),
                    ..
                }),
                Depth::Service,
            ) => opinion,
            _ => return None,
        };
        match sight {
            Sight::Unseen => opinion.unseen = true,
            Sight::Seen => opinion.seen_by = Some(from.clone()),
        }
        if depth == Depth::Service && self.exam.is_none() {
            self.still_ill(context);
        }
        self.doubt_on(context)
    }

    /// Goes on as far as what is known allows.
    pub(super) fn doubt_on(&mut self, context: &mut Context) -> Option<Wish> {
        let target = self.target.clone();
        let Mode::NetworkExamination(doubt) = &mut self.mode else {
            return None;
        };
        let away = context.ledger.away(&target).map(|r| r.claim.owner.clone());
        if let (Some(owner), Step::None) = (away.filter(|o| *o != context.config.me), &doubt.claim)
        {
            // Another manager was quicker: what it claimed is its own to recover.
            self.wait_for(context, owner);
            return None;
        }
        let over = context.now >= doubt.opinion.since + context.timings().t_cf;
        match &mut doubt.claim {
            Step::None => {
                let free = doubt.opinion.seen_by.is_none() && context.in_group();
                if free && doubt.opinion.is_against(over) {
                    doubt.claim = claim(context, &target);
                } else if doubt.again && (over || !free) {
                    if let Some(peer) = doubt.opinion.seen_by.clone() {
                        context.log(Event::PeerSees { target, peer });
                    }
                    self.mode = Mode::Regular;
                    // Its agent could not be heard either.
                    self.agent_due = context.now;
                    context.changed = true;
                }
            }
            Step::Tried { .. } => retry(context, &mut doubt.claim),
            Step::Won { claim, out } if doubt.again => {
                let wish = Wish::Open {
                    claim: claim.clone(),
                    cause: Cause::Network,
                    out: *out,
                };
                self.mode = Mode::BackupServer;
                return Some(wish);
            }
            Step::Won { .. } => {}
        }
        None
    }

    /// So much later no older holder is left.
    pub(in crate::manage) fn postpone(&mut self, by: Duration) {
        let step = match &mut self.mode {
            Mode::NetworkExamination(doubt) => &mut doubt.claim,
            Mode::ServiceRecovery(Repair::Claiming(step)) => step,
            _ => return,
        };
        if let Step::Won { out, .. } = step {
            *out = *out + by;
        }
    }

    /// A claim that was won and has no case yet, and when no older holder is left.
    pub(in crate::manage) fn left(&self) -> Option<(Claim, Now)> {
        match &self.mode {
            Mode::NetworkExamination(Doubt {
                claim: Step::Won { claim, out },
                ..
            }) => Some((claim.clone(), *out)),
            _ => None,
        }
    }

    pub(super) fn network_recovered(&mut self, context: &mut Context) -> Option<Wish> {
        let Mode::NetworkExamination(doubt) = &self.mode else {
            return None;
        };
        let claimed = doubt.claim != Step::None;
        context.log(Event::NetworkRecovered {
            target: self.target.clone(),
        });
        self.send_r(context);
        self.regular(context);
        self.examine(context);
        claimed.then_some(Wish::Withdraw)
    }

    pub(super) fn send_r(&mut self, context: &mut Context) {
        if let Some(to) = self.partner.clone() {
            let target = self.target.clone();
            context.send(
                &to,
                Message::R {
                    target: target.clone(),
                },
            );
            context.log(Event::RSent { target, to });
        }
    }

    /// What came of a claim for the target.
    pub(in crate::manage) fn claimed(
        &mut self,
        context: &mut Context,
        tried: &Claim,
        result: &ClaimResult,
    ) -> Option<Wish> {
        let out = context.out(&self.target);
        let step = match &mut self.mode {
            Mode::NetworkExamination(doubt) => Some(&mut doubt.claim),
            Mode::ServiceRecovery(Repair::Claiming(step)) => Some(step),
            _ => None,
        };
        let ours = |step: &&mut Step| matches!(step, Step::Tried { claim, .. } if claim == tried);
        let Some(step) = step.filter(ours) else {
            // Given up meanwhile: a claim that was won must be given back.
            if *result == ClaimResult::Won && self.mode == Mode::Regular {
                context.publish(Record {
                    claim: tried.clone(),
                    state: State::default(),
                });
                return Some(Wish::Withdraw);
            }
            return None;
        };
        let (target, epoch) = (tried.function.clone(), tried.epoch);
        match result {
            ClaimResult::Won => {
                *step = Step::Won {
                    claim: tried.clone(),
                    out,
                };
                context.log(Event::Claimed { target, epoch });
                context.publish(Record {
                    claim: tried.clone(),
                    state: State::default(),
                });
                if let Mode::ServiceRecovery(_) = self.mode {
                    let claim = tried.clone();
                    self.mode = Mode::BackupServer;
                    return Some(Wish::Open {
                        claim,
                        cause: Cause::Service,
                        out,
                    });
                }
                self.doubt_on(context)
            }
            ClaimResult::Lost(record) => {
                context.log(Event::ClaimLost { target, epoch });
                context.learn(Record::clone(record));
                if record.claim.function == self.target && record.is_away() {
                    self.wait_for(context, record.claim.owner.clone());
                    // It may be a claim of our own, from before a restart, that is now resumed.
                    context.changed = true;
                } else {
                    self.regular(context);
                    self.examine(context);
                }
                None
            }
            ClaimResult::Failed(reason) => {
                let reason = reason.clone();
                if let Step::Tried { retry, failed, .. } = step {
                    *retry = context.now + context.timings().t_wait;
                    if !std::mem::replace(failed, true) {
                        context.log(Event::ClaimFailed { target, reason });
                    }
                }
                if let (Mode::NetworkExamination(_), None) = (&self.mode, &self.exam) {
                    self.ping(context);
                }
                None
            }
        }
    }
}

pub(super) fn claim(context: &mut Context, target: &ServerName) -> Step {
    let claim = context.claim_next(target, Purpose::Recover);
    Step::Tried {
        claim,
        retry: context.now + context.timings().t_va,
        failed: false,
    }
}

pub(super) fn retry(context: &mut Context, step: &mut Step) {
    if let Step::Tried { claim, retry, .. } = step {
        if context.now >= *retry {
            *retry = context.now + context.timings().t_va;
            context.out.push(Output::Claim(claim.clone()));
        }
    }
}
