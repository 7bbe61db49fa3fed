//! Examinations of the target: when they are made, and what follows from what they find.

use super::{Manager, Mode, Repair, Wish};
use crate::cluster::{Priority, Service};
use crate::manage::Event;
use crate::manage::context::Context;
use crate::manage::exam::{Exam, Verdict};
use crate::manage::io::{Asker, ExamId};
use crate::manage::message::Depth;

/// What is in trouble when the services answer but the agent does not.
const AGENT: &str = "agent";

impl Manager {
    /// Whether a ping of the target is out.
    pub(in crate::manage) fn awaits_network(&self) -> bool {
        self.exam.as_ref().is_some_and(Exam::awaits_network)
    }

    pub(super) fn is_network_overdue(&self, context: &Context) -> bool {
        let exam = self.exam.as_ref();
        exam.is_some_and(|exam| exam.is_network_overdue(context))
    }

    /// S, or the own timer.
    ///
    /// P2 looks T_sw before the next S: the target is seen twice in a round, and by both at once only if
    /// its answers take longer than that, since to be seen is real work for one that is slow. Nor is it
    /// while P1 and the others act on what S has shown.
    pub(in crate::manage) fn round(&mut self, context: &mut Context) {
        let timings = context.timings();
        self.turn = Some(match self.priority {
            Priority::P1 => context.now,
            Priority::P2 => context.now + (timings.t_im - timings.t_sw.min(timings.t_im / 2)),
        });
        self.take_turn(context);
    }

    pub(super) fn take_turn(&mut self, context: &mut Context) {
        if self.turn.is_none_or(|turn| context.now < turn) {
            return;
        }
        self.turn = None;
        match self.mode {
            Mode::Regular | Mode::Waiting { .. } if self.exam.is_none() => self.examine(context),
            _ => {}
        }
    }

    pub(super) fn examine(&mut self, context: &mut Context) {
        self.exam = Some(Exam::start(
            context,
            Asker::Manager,
            &self.target,
            Depth::Service,
        ));
    }

    pub(super) fn ping(&mut self, context: &mut Context) {
        self.exam = Some(Exam::start(
            context,
            Asker::Manager,
            &self.target,
            Depth::Network,
        ));
    }

    /// The node was late: running examinations are thrown away and made again.
    pub(in crate::manage) fn void(&mut self, context: &mut Context) {
        if self.exam.take().is_some() {
            match self.mode {
                Mode::Regular
                | Mode::Waiting { .. }
                | Mode::ServiceRecovery(Repair::Examining { .. }) => self.examine(context),
                Mode::NetworkExamination(_) | Mode::ServiceRecovery(_) => self.ping(context),
                Mode::BackupServer | Mode::TargetServerRecovery => {}
            }
        }
        if let Mode::Waiting { heard, .. } = &mut self.mode {
            *heard = context.now;
        }
    }

    /// Result of a ping.
    pub(in crate::manage) fn pinged(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        ok: bool,
    ) -> Option<Wish> {
        let verdict = self.exam.as_mut()?.pinged(context, id, ok)?;
        self.verdict(context, verdict)
    }

    /// Result of a service examination.
    pub(in crate::manage) fn probed(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        service: Service,
        ok: bool,
    ) -> Option<Wish> {
        let verdict = self.exam.as_mut()?.probed(id, service, ok)?;
        self.verdict(context, verdict)
    }

    pub(super) fn verdict(&mut self, context: &mut Context, verdict: Verdict) -> Option<Wish> {
        let exam = self.exam.take();
        let shaky = exam.is_some_and(|exam| exam.begun < context.steady);
        let young = self.is_young(context);
        let silent = self.is_agent_silent(context);
        match (&mut self.mode, verdict) {
            (Mode::Regular, Verdict::Healthy) if silent => {
                self.healthy = false;
                if !young {
                    self.service_trouble(context, AGENT.to_owned());
                }
                None
            }
            (Mode::Regular, Verdict::Healthy) => {
                self.healthy = true;
                self.seen = true;
                self.acting = false;
                self.contradicted = false;
                None
            }
            (Mode::Regular, _) if young => None,
            (Mode::Regular, _) if shaky => {
                self.turn = Some(context.steady.max(context.now));
                None
            }
            (Mode::Regular, Verdict::NoNetwork) => {
                self.healthy = false;
                self.network_trouble(context)
            }
            (Mode::Regular, Verdict::NoService(services)) => {
                self.healthy = false;
                let names: Vec<String> = services.iter().map(Service::to_string).collect();
                self.service_trouble(context, names.join(" "));
                None
            }
            (Mode::Waiting { .. }, Verdict::NoNetwork) if self.healthy => {
                self.healthy = false;
                context.log(Event::NetworkTrouble {
                    target: self.target.clone(),
                });
                None
            }
            (Mode::Waiting { .. }, Verdict::Healthy) => {
                if context.ledger.away(&self.target).is_none() {
                    self.regular(context);
                    self.healthy = true;
                }
                None
            }
            (Mode::NetworkExamination(_), Verdict::Healthy) => self.network_recovered(context),
            (Mode::NetworkExamination(doubt), Verdict::NoNetwork) => {
                if !std::mem::replace(&mut doubt.again, true) {
                    let target = self.target.clone();
                    context.log(Event::NetworkTroubleConfirmed { target });
                }
                self.doubt_on(context)
            }
            (Mode::ServiceRecovery(_), verdict) => self.repair_on(context, verdict),
            _ => None,
        }
    }
}
