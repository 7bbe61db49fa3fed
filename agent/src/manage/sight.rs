//! Second opinions: what this server answers when a peer asks whether it sees a target.
//!
//! About the network the answer rests on a ping not older than T_nd. One that is out already is
//! waited for, so that the other manager, whose examination runs at the same time, answers as soon
//! as it ends. About services it rests on an examination that began when it was asked for.

use std::collections::BTreeMap;

use super::context::Context;
use super::exam::{Exam, Verdict};
use super::io::{Asker, ExamId, Now};
use super::message::{Depth, Message, Sight};
use crate::cluster::{ServerName, Service};

/// What was lately seen of the network of one.
#[derive(Debug, Default)]
struct View {
    last: Option<(Now, Sight)>,
    exam: Option<Exam>,
    asks: Vec<ServerName>,
}

/// An examination of the services of one, and for whom.
#[derive(Debug)]
struct Visit {
    exam: Exam,
    asks: Vec<ServerName>,
}

/// What was lately seen of other servers.
#[derive(Debug, Default)]
pub(super) struct Sights {
    views: BTreeMap<ServerName, View>,
    visits: BTreeMap<ServerName, Visit>,
}

fn answer(context: &mut Context, to: &ServerName, target: &ServerName, depth: Depth, sight: Sight) {
    let target = target.clone();
    let answer = Message::Seen {
        target,
        depth,
        sight,
    };
    context.send(to, answer);
}

impl Sights {
    /// A peer asks; `awaited`: a ping of ours is out.
    pub(super) fn confirm(
        &mut self,
        context: &mut Context,
        from: &ServerName,
        target: &ServerName,
        awaited: bool,
    ) {
        if context.data(target).is_none() || *target == context.config.me {
            return;
        }
        let fresh = context.timings().t_nd;
        let view = self.views.entry(target.clone()).or_default();
        match view.last {
            Some((at, sight)) if !awaited && context.now.since(at) < fresh => {
                answer(context, from, target, Depth::Network, sight);
                return;
            }
            _ => {}
        }
        if !view.asks.contains(from) {
            view.asks.push(from.clone());
        }
        let running = view
            .exam
            .as_ref()
            .is_some_and(|exam| !exam.is_stale(context));
        if !awaited && !running {
            view.exam = Some(Exam::start(context, Asker::Peer, target, Depth::Network));
        }
    }

    /// Looks at a server unless that is being done or was done just now.
    pub(super) fn scout(&mut self, context: &mut Context, target: &ServerName) {
        let view = self.views.entry(target.clone()).or_default();
        let fresh = context.timings().t_nd;
        let known = view
            .last
            .is_some_and(|(at, _)| context.now.since(at) < fresh);
        let running = view
            .exam
            .as_ref()
            .is_some_and(|exam| !exam.is_stale(context));
        if !known && !running {
            view.exam = Some(Exam::start(context, Asker::Peer, target, Depth::Network));
        }
    }

    /// Whether a server was found silent just now.
    pub(super) fn is_silent(&self, context: &Context, target: &ServerName) -> bool {
        let fresh = context.timings().t_nd;
        let last = self.views.get(target).and_then(|view| view.last);
        last.is_some_and(|(at, sight)| sight == Sight::Unseen && context.now.since(at) < fresh)
    }

    /// Any ping of a target came back, or did not.
    pub(super) fn pinged(&mut self, context: &mut Context, id: &ExamId, ok: bool) {
        let sight = if ok { Sight::Seen } else { Sight::Unseen };
        let target = &id.target;
        let view = self.views.entry(target.clone()).or_default();
        view.last = Some((context.now, sight));
        match sight {
            Sight::Seen => context.silent.remove(target),
            Sight::Unseen => context.silent.insert(target.clone(), context.now),
        };
        if id.asker == Asker::Peer {
            view.exam = None;
        }
        for from in std::mem::take(&mut view.asks) {
            answer(context, &from, target, Depth::Network, sight);
        }
        let visit = self.visits.get_mut(target);
        let verdict = visit.and_then(|visit| visit.exam.pinged(context, id, ok));
        self.visited(context, target, verdict);
    }

    /// A peer asks whether the services of a target are well.
    pub(super) fn visit(&mut self, context: &mut Context, from: &ServerName, target: &ServerName) {
        if context.data(target).is_none() || *target == context.config.me {
            return;
        }
        match self.visits.get_mut(target) {
            Some(visit) if !visit.exam.is_stale(context) => visit.asks.push(from.clone()),
            _ => {
                let exam = Exam::start(context, Asker::Peer, target, Depth::Service);
                let asks = vec![from.clone()];
                self.visits.insert(target.clone(), Visit { exam, asks });
            }
        }
    }

    /// A service of a target answered, or did not.
    pub(super) fn probed(
        &mut self,
        context: &mut Context,
        id: &ExamId,
        service: Service,
        ok: bool,
    ) {
        let visit = self.visits.get_mut(&id.target);
        let verdict = visit.and_then(|visit| visit.exam.probed(id, service, ok));
        self.visited(context, &id.target, verdict);
    }

    fn visited(&mut self, context: &mut Context, target: &ServerName, verdict: Option<Verdict>) {
        let sight = match verdict {
            None => return,
            Some(Verdict::Healthy) => Sight::Seen,
            Some(_) => Sight::Unseen,
        };
        let visit = self.visits.remove(target);
        for from in visit.into_iter().flat_map(|visit| visit.asks) {
            answer(context, &from, target, Depth::Service, sight);
        }
    }

    /// The node was late: what was seen proves nothing.
    pub(super) fn void(&mut self) {
        self.views.clear();
        self.visits.clear();
    }
}
