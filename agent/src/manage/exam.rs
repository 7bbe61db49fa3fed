//! One examination: a ping within T_nd, then every service within T_sw (paper, section 3.1,
//! Regular mode).

use super::context::Context;
use super::io::{Asker, ExamId, Now, Output};
use super::message::Depth;
use crate::cluster::{ServerName, Service};

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Healthy,
    /// The ping did not come back.
    NoNetwork,
    /// It did, but these services do not answer.
    NoService(Vec<Service>),
}

/// A running examination.
#[derive(Debug, Clone)]
pub(super) struct Exam {
    id: ExamId,
    depth: Depth,
    /// When it began.
    pub(super) begun: Now,
    pinged: bool,
    waiting: Vec<Service>,
    failed: Vec<Service>,
}

impl Exam {
    /// Sends the ping.
    pub(super) fn start(
        context: &mut Context,
        asker: Asker,
        target: &ServerName,
        depth: Depth,
    ) -> Self {
        let id = context.exam_id(asker, target);
        if let Some(data) = context.config.data.get(target) {
            let timings = &context.config.settings.timings;
            let within = match asker {
                // Looks often; what it misses now it sees a moment later.
                Asker::Job => timings.t_nd.min(timings.t_wait),
                Asker::Manager => timings.t_nd,
                // A second opinion, to be had while the manager looks again for T_nd.
                Asker::Peer => timings.t_nd / 2,
            };
            let address = data.ipr;
            context.out.push(Output::Ping {
                id: id.clone(),
                address,
                within,
            });
        }
        let begun = context.now;
        Self {
            id,
            depth,
            begun,
            pinged: false,
            waiting: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Whether the network's answer is still awaited.
    pub(super) fn awaits_network(&self) -> bool {
        !self.pinged
    }

    /// Whether it is overdue: no grant may be given any more. Most pings come back at once, and what
    /// is granted until then is out long before a claim could be of use.
    pub(super) fn is_network_overdue(&self, context: &Context) -> bool {
        !self.pinged && context.now.since(self.begun) >= context.timings().t_nd / 2
    }

    /// Whether it takes longer than it can: its result got lost.
    pub(super) fn is_stale(&self, context: &Context) -> bool {
        context.now >= self.deadline(context)
    }

    /// When it counts as lost.
    pub(super) fn deadline(&self, context: &Context) -> Now {
        let timings = &context.config.settings.timings;
        self.begun + timings.longest_examination() + timings.t_wait
    }

    /// The ping's result; a verdict if that ends the examination.
    pub(super) fn pinged(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        ok: bool,
    ) -> Option<Verdict> {
        if *id != self.id || self.pinged {
            return None;
        }
        self.pinged = true;
        if !ok {
            return Some(Verdict::NoNetwork);
        }
        let data = context.config.data.get(&self.id.target)?;
        if self.depth == Depth::Network || data.daemons.is_empty() {
            return Some(Verdict::Healthy);
        }
        for daemon in &data.daemons {
            let service = daemon.service();
            if !self.waiting.contains(&service) {
                self.waiting.push(service);
                let (id, address) = (self.id.clone(), data.ipr);
                let within = context.config.settings.timings.t_sw;
                context.out.push(Output::Probe {
                    id,
                    service,
                    address,
                    within,
                });
            }
        }
        None
    }

    /// A service's result; a verdict if it was the last.
    pub(super) fn probed(&mut self, id: &ExamId, service: Service, ok: bool) -> Option<Verdict> {
        let at = self
            .waiting
            .iter()
            .position(|waiting| *waiting == service)?;
        if *id != self.id {
            return None;
        }
        self.waiting.remove(at);
        if !ok {
            self.failed.push(service);
        }
        if !self.waiting.is_empty() {
            return None;
        }
        let mut failed = std::mem::take(&mut self.failed);
        failed.sort_unstable();
        Some(if failed.is_empty() {
            Verdict::Healthy
        } else {
            Verdict::NoService(failed)
        })
    }
}
