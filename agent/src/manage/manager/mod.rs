//! The management program: one for each target that this server manages (paper, section 3.1,
//! Fig. 7, and 3.2, Fig. 8).
//!
//! ```text
//!                                   R
//!         +-----------------------------------------------+
//!         v              network trouble                  |
//!   +-----------+  ------------------------->  +---------------------+
//!   |  Regular  |                              | Network examination |----+
//!   +-----------+  ---------+                  +---------------------+    | trouble again,
//!    ^  ^     |    service  |                        ^                    | claim won
//!    |  |     |    trouble  v                        | no network         v
//!    |  |     |          +------------------+--------+            +---------------+
//!    |  +-R---|--------- | Service recovery | ------------------> | Backup server |
//!    |        |          +------------------+  trouble again,     +---------------+
//!    |        |                                claim won             |         ^
//!    |        | P2: any trouble                                      | VIP set | host lost
//!    |        v                                                      v         |
//!    |   +---------+  R, U: to Regular        U             +------------------------+
//!    |   | Waiting |  D: ends             <---------------- | Target server recovery |
//!    |   +---------+  P1 gone: acts as P1                   +------------------------+
//!    |                                                             |        | D
//!    +-------------------------------------------------------------+        v
//!                                U                                         ends
//! ```
//!
//! * Regular: on each S the target is examined: ping within T_nd, then every service within T_sw.
//!   P2 pings it too, and examines it T_sw later.
//!   While it is healthy it is granted its VIP. A target that was never seen since the node
//!   started may still be booting and gets `t_up`.
//!   Its agent must have asked for its grant within T_im: without the agent the VIP goes away.
//! * Regular -> Network examination: the ping did not come back. A second one goes out at once;
//!   the other manager and a third server are asked whether they see the target. As soon as one
//!   does not (or nobody answers within `t_cf`), the function is claimed: that takes the target
//!   out of the group, so that the servers behind it are examined at once. If somebody sees it,
//!   this server has a fault of its own and nobody acts.
//! * Network examination -> Regular: the second ping came back. A claim is given back, R goes to
//!   P2.
//! * Network examination -> Backup server: it did not, and the claim is ours. Background job 1.
//! * Regular -> Service recovery: the ping came back, a service did not answer. The network is
//!   examined, the target told to restart its services, then all is examined again, for T_sw if it
//!   must be. Meanwhile the others are asked whether they find it well.
//! * Service recovery -> Regular: healthy again (St1); R goes to P2. Or not, but somebody finds it
//!   well: the fault is this server's own. It has nothing restarted then until it found it well too.
//! * Service recovery -> Backup server: still not (St2), and the claim is ours. Background job 2.
//! * Backup server, Target server recovery: see [`super::case`], which carries them out.
//! * Waiting: P2 in trouble awaits R, U or D, and asks P1 for a sign of life every `t_wait`; if none
//!   comes, it asks P1's managers when they heard of it. After 2 T_nd without one it acts as P1.

mod doubt;
mod examine;
mod repair;
mod wait;

use std::time::Duration;

use crate::cluster::{Priority, ServerName};
use crate::manage::Event;
use crate::manage::claim::Claim;
use crate::manage::context::Context;
use crate::manage::exam::{Exam, Verdict};
use crate::manage::io::Now;
use crate::manage::job::Cause;
use doubt::retry;

/// Where a management program stands. The paper's five modes, and P2's waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Regular,
    NetworkExamination(Doubt),
    ServiceRecovery(Repair),
    BackupServer,
    TargetServerRecovery,
    Waiting {
        p1: ServerName,
        heard: Now,
        claim: Known,
    },
}

/// What a waiting P2 knows of a claim for its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// There is none yet.
    Nothing,
    /// P1 acts.
    Away,
    /// The function went home then; U should follow.
    Home(Now),
}

/// What is known of a target whose network is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    opinion: Opinion,
    again: bool,
    claim: Step,
}

/// What others said when they were asked whether they find the target well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opinion {
    since: Now,
    asked: usize,
    unseen: bool,
    seen_by: Option<ServerName>,
}

/// How far a claim got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    None,
    Tried {
        claim: Claim,
        retry: Now,
        failed: bool,
    },
    Won {
        claim: Claim,
        out: Now,
    },
}

/// How far the repair of a service got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repair {
    Network,
    Restarting {
        until: Now,
    },
    /// Until then a service that refuses may only be slow to listen again.
    Examining {
        until: Now,
        /// Others are asked when half of that is over.
        opinion: Option<Opinion>,
    },
    Claiming(Step),
}

/// What a management program wants that is not its own to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Open a case under this claim.
    Open {
        claim: Claim,
        cause: Cause,
        out: Now,
    },
    /// Give this claim back: the target is healthy.
    Withdraw,
    /// Go on with the recovery that a lost server owned.
    Inherit,
    /// End this program.
    End,
}

/// A management program.
#[derive(Debug)]
pub(super) struct Manager {
    pub(super) target: ServerName,
    pub(super) priority: Priority,
    pub(super) mode: Mode,
    /// The other manager, as of when all was well.
    pub(super) partner: Option<ServerName>,
    exam: Option<Exam>,
    healthy: bool,
    seen: bool,
    /// When the target's agent last asked for its grant.
    agent_heard: Option<Now>,
    /// Since when it is expected to.
    agent_due: Now,
    /// Began with the node: the whole cluster may be starting.
    grace: bool,
    /// P2 that takes P1's part.
    acting: bool,
    /// Somebody found the target well when this server last did not.
    contradicted: bool,
    next: Now,
    /// When the target is examined in this round, if it was not yet.
    turn: Option<Now>,
}

impl Manager {
    pub(super) fn start(context: &mut Context, target: &ServerName, priority: Priority) -> Self {
        let mut manager = Self {
            target: target.clone(),
            priority,
            mode: Mode::Regular,
            partner: context.other_manager(target),
            exam: None,
            healthy: false,
            seen: false,
            agent_heard: None,
            agent_due: context.now,
            grace: context.now == context.started,
            acting: false,
            contradicted: false,
            next: context.now,
            turn: None,
        };
        manager.examine(context);
        manager
    }

    /// The target was found silent just now, before this program began: that was the first
    /// examination.
    pub(super) fn found_silent(&mut self, context: &mut Context) -> Option<Wish> {
        let regular = self.mode == Mode::Regular && !self.is_young(context);
        if regular {
            self.verdict(context, Verdict::NoNetwork)
        } else {
            None
        }
    }

    /// Whether it may end without harm.
    pub(super) fn is_idle(&self) -> bool {
        self.mode == Mode::Regular
    }

    /// Whether it finds the target well right now.
    fn is_well(&self, context: &Context) -> bool {
        self.mode == Mode::Regular && self.healthy && !self.is_network_overdue(context)
    }

    /// Whether the target may be granted its VIP. Also while its services are being restarted:
    /// the others of them may be well, and nobody acts against it yet.
    pub(super) fn may_grant(&self, context: &Context) -> bool {
        let repairing = match &self.mode {
            Mode::ServiceRecovery(Repair::Claiming(_)) => false,
            Mode::ServiceRecovery(_) => !self.is_network_overdue(context),
            _ => false,
        };
        self.is_well(context) || repairing
    }

    /// Whether others may grant on our word: we do not act against the target.
    pub(super) fn may_vouch(&self, context: &Context) -> bool {
        match &self.mode {
            Mode::Regular => !self.is_network_overdue(context) && !self.acting,
            Mode::Waiting { .. } => true,
            _ => self.may_grant(context),
        }
    }

    /// The other manager waits for us: the target was well and is not, whatever we know since our own
    /// start.
    pub(super) fn is_awaited(&mut self, context: &mut Context) {
        if self.is_young(context) {
            self.grace = false;
            if self.mode == Mode::Regular && self.exam.is_none() {
                self.examine(context);
            }
        }
    }

    pub(super) fn deadline(&self, context: &Context) -> Now {
        let timings = context.timings();
        let later = context.now + timings.t_wait;
        let mode = match &self.mode {
            Mode::Regular => Now(Duration::MAX),
            Mode::NetworkExamination(doubt) => match &doubt.claim {
                Step::None => doubt.opinion.since + timings.t_cf,
                Step::Tried { retry, .. } => *retry,
                Step::Won { .. } => later,
            },
            Mode::ServiceRecovery(Repair::Restarting { until }) => *until,
            Mode::ServiceRecovery(Repair::Examining { .. }) => {
                let next = if self.exam.is_some() {
                    later
                } else {
                    self.next
                };
                self.asks_at(context).map_or(next, |at| next.min(at))
            }
            Mode::ServiceRecovery(Repair::Claiming(Step::Tried { retry, .. })) => *retry,
            Mode::ServiceRecovery(_) => later,
            Mode::BackupServer => later,
            Mode::TargetServerRecovery | Mode::Waiting { .. } => self.next,
        };
        let exam = self.exam.as_ref().map(|exam| exam.deadline(context));
        [exam, self.turn].into_iter().flatten().fold(mode, Now::min)
    }

    pub(super) fn tick(&mut self, context: &mut Context) -> Option<Wish> {
        self.take_turn(context);
        if self
            .exam
            .as_ref()
            .is_some_and(|exam| exam.is_stale(context))
        {
            self.void(context);
        }
        self.ask_in_time(context);
        match &mut self.mode {
            Mode::NetworkExamination(_) => self.doubt_on(context),
            Mode::ServiceRecovery(Repair::Restarting { until }) if context.now >= *until => {
                self.restarted(context);
                None
            }
            Mode::ServiceRecovery(Repair::Examining { .. })
                if self.exam.is_none() && context.now >= self.next =>
            {
                self.repair_later(context);
                None
            }
            Mode::ServiceRecovery(Repair::Claiming(step)) => {
                retry(context, step);
                None
            }
            Mode::TargetServerRecovery if context.now >= self.next => {
                self.next = context.now + context.timings().t_wait;
                context.log(Event::Wait {});
                None
            }
            Mode::Waiting { .. } if context.now >= self.next => self.wait_on(context),
            _ => None,
        }
    }

    /// The target's agent asks for its grant.
    pub(super) fn asked(&mut self, context: &Context) {
        self.agent_heard = Some(context.now);
    }

    /// When the target's agent last asked for its grant.
    pub(super) fn agent_heard(&self) -> Option<Now> {
        self.agent_heard
    }

    fn is_agent_silent(&self, context: &Context) -> bool {
        let heard = self.agent_heard.max(Some(self.agent_due));
        heard.is_some_and(|at| context.now.since(at) > context.timings().t_im)
    }

    /// Not seen yet since the start: it may be booting.
    fn is_young(&self, context: &Context) -> bool {
        self.grace && !self.seen && context.now.since(context.started) < context.timings().t_up
    }

    /// Back to Regular mode.
    pub(super) fn regular(&mut self, context: &mut Context) {
        self.mode = Mode::Regular;
        self.exam = None;
        self.healthy = false;
        self.acting = false;
        self.seen = true;
        self.agent_due = context.now;
        // It may be somebody else's target by now.
        context.changed = true;
    }

    /// The case moved between its two modes, or is over.
    pub(super) fn follow(&mut self, context: &mut Context, mode: Mode) {
        if self.mode != mode {
            let regular = mode == Mode::Regular;
            self.mode = mode;
            self.exam = None;
            self.next = context.now;
            if regular {
                self.regular(context);
                self.examine(context);
            }
        }
    }
}
