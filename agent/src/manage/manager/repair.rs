//! Service recovery: the services are restarted; if that does not help and nobody else finds them
//! well, the function is claimed.

use super::doubt::claim;
use super::{Manager, Mode, Opinion, Repair, Wish};
use crate::manage::Event;
use crate::manage::context::Context;
use crate::manage::exam::Verdict;
use crate::manage::io::Now;
use crate::manage::message::{Depth, Message};

impl Manager {
    pub(super) fn service_trouble(&mut self, context: &mut Context, services: String) {
        let target = self.target.clone();
        context.log(Event::ServiceTrouble { target, services });
        if let Some(p1) = self.must_wait(context) {
            self.wait_for(context, p1);
            return;
        }
        context.ask_loads();
        self.mode = Mode::ServiceRecovery(Repair::Network);
        self.ping(context);
    }

    /// The target says what came of restarting its services, or did not in time.
    pub(in crate::manage) fn restarted(&mut self, context: &mut Context) {
        if let Mode::ServiceRecovery(Repair::Restarting { .. }) = &self.mode {
            self.examine_again(context);
        }
    }

    fn examine_again(&mut self, context: &mut Context) {
        let until = context.now + context.timings().t_sw;
        let opinion = None;
        self.mode = Mode::ServiceRecovery(Repair::Examining { until, opinion });
        self.examine(context);
    }

    /// When another server is asked about a service that was restarted: most are well before, and
    /// to be looked at is work for a target that is just starting them. A second one is asked if the
    /// first does not answer.
    pub(super) fn asks_at(&self, context: &Context) -> Option<Now> {
        let Mode::ServiceRecovery(Repair::Examining { until, opinion }) = &self.mode else {
            return None;
        };
        let t_sw = context.timings().t_sw;
        let before = match opinion {
            None => t_sw / 2,
            Some(opinion) if opinion.is_known() || opinion.asked != 1 => return None,
            Some(_) if self.witnesses(context).len() < 2 => return None,
            Some(_) => t_sw / 4,
        };
        Some(Now(until.since(Now(before))))
    }

    pub(super) fn ask_in_time(&mut self, context: &mut Context) {
        if self.asks_at(context).is_none_or(|at| context.now < at) {
            return;
        }
        let witnesses = self.witnesses(context);
        let Mode::ServiceRecovery(Repair::Examining { opinion, .. }) = &mut self.mode else {
            return;
        };
        let opinion = opinion.get_or_insert_with(|| Opinion::new(context));
        if let Some(peer) = witnesses.get(opinion.asked) {
            opinion.asked += 1;
            let (target, depth) = (self.target.clone(), Depth::Service);
            context.send(peer, Message::Confirm { target, depth });
        }
    }

    /// An examination ended while services are repaired.
    pub(super) fn repair_on(&mut self, context: &mut Context, verdict: Verdict) -> Option<Wish> {
        let Mode::ServiceRecovery(repair) = &self.mode else {
            return None;
        };
        match (repair, verdict) {
            (_, Verdict::NoNetwork) => return self.network_trouble(context),
            (Repair::Network, Verdict::Healthy) if self.contradicted => self.examine_again(context),
            (Repair::Network, Verdict::Healthy) => self.restart(context),
            (Repair::Examining { .. }, Verdict::Healthy) if self.is_agent_silent(context) => {
                self.confirmed(context);
            }
            (Repair::Examining { .. }, Verdict::Healthy) => {
                context.log(Event::ServiceRecovered {
                    target: self.target.clone(),
                });
                self.send_r(context);
                self.regular(context);
                self.healthy = true;
            }
            (Repair::Examining { .. }, Verdict::NoService(_)) => self.still_ill(context),
            _ => {}
        }
        None
    }

    fn restart(&mut self, context: &mut Context) {
        let until = context.now + context.timings().t_sr;
        self.mode = Mode::ServiceRecovery(Repair::Restarting { until });
        context.log(Event::ServiceRestart {
            target: self.target.clone(),
        });
        context.send(&self.target, Message::RestartService);
    }

    /// The time between two examinations is over, or that in which the others may answer.
    pub(super) fn repair_later(&mut self, context: &mut Context) {
        match &self.mode {
            Mode::ServiceRecovery(Repair::Examining { until, .. }) if context.now < *until => {
                self.examine(context);
            }
            _ => self.still_ill(context),
        }
    }

    /// A service does not answer although it was restarted.
    pub(super) fn still_ill(&mut self, context: &mut Context) {
        self.ask_in_time(context);
        let Mode::ServiceRecovery(Repair::Examining { until, opinion }) = &self.mode else {
            return;
        };
        let last = *until + context.timings().t_cf;
        if context.now < *until {
            self.next = context.now + context.timings().t_wait / 10;
        } else if let Some(peer) = opinion.as_ref().and_then(|opinion| opinion.seen_by.clone()) {
            let target = self.target.clone();
            context.log(Event::PeerSees { target, peer });
            self.regular(context);
            self.contradicted = true;
        } else if opinion
            .as_ref()
            .is_none_or(|opinion| opinion.is_against(context.now >= last))
        {
            self.confirmed(context);
        } else {
            self.next = last;
        }
    }

    fn confirmed(&mut self, context: &mut Context) {
        let target = self.target.clone();
        context.log(Event::ServiceTroubleConfirmed {
            target: target.clone(),
        });
        self.mode = Mode::ServiceRecovery(Repair::Claiming(claim(context, &target)));
    }
}
