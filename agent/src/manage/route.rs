//! Which part an input goes to.

use super::case::Case;
use super::claim::{Claim, Purpose, Record, State};
use super::guest::Guest;
use super::manager::{Manager, Wish};
use super::message::Depth;
use super::placement::Sample;
use super::question::Question;
use super::{Asker, ClaimResult, Event, ExamId, Handed, Input, Management, Message, Now, Query};
use crate::cluster::{Epoch, ServerName, Service};

impl Management {
    /// Whether an input can make any part go on before its deadline. While nothing is at hand most
    /// messages cannot: they bear only on what is granted, asked or placed when that is due.
    pub(super) fn moves(&self, input: &Input) -> bool {
        let message = match input {
            Input::Message { message, .. } => message,
            // Shows what was known of our own function, most times: the VIP is kept for longer.
            Input::Claims {
                query: Query::One(function),
                result: Ok(_),
                ..
            } => {
                return *function != self.context.config.me
                    || !self.is_calm()
                    || !self.home.is_held();
            }
            _ => return true,
        };
        match message {
            Message::AskWord { .. }
            | Message::GiveWord { .. }
            | Message::AskLoad
            | Message::Load(_) => !self.is_calm(),
            // Who runs short is seen to at once.
            Message::Ask { short, .. } => *short || !self.is_calm(),
            // A VIP that is not held yet would be taken, and could run out at any time.
            Message::Grant { .. } => !self.is_calm() || !self.home.is_held(),
            _ => true,
        }
    }

    /// Whether nothing is at hand: no target in trouble, no recovery, no backup VM, no claim.
    fn is_calm(&self) -> bool {
        self.managers.values().all(Manager::is_idle)
            && self.cases.is_empty()
            && self.guests.is_empty()
            && self.errands.is_empty()
            && self.context.all_open().next().is_none()
    }

    pub(super) fn route(&mut self, input: Input) {
        match input {
            Input::Tick => {}
            Input::Late(by) => self.late(by),
            Input::Message { from, message } => {
                if self.context.config.base.contains(&from) {
                    self.message(&from, message);
                }
            }
            Input::Pinged { id, ok } => self.pinged(&id, ok),
            Input::Probed { id, service, ok } => self.probed(&id, service, ok),
            Input::Claimed { claim, result } => self.claimed(&claim, &result),
            Input::Claims {
                query,
                begun,
                result,
            } => self.claims(&query, begun, result),
            Input::VipTaken(result) => self.home.taken(&mut self.context, result),
            Input::VipDropped => self.home.dropped(&mut self.context),
            Input::VmStarted { function, result } => {
                if let Some(guest) = self.guests.get_mut(&function) {
                    self.standbys.used(&mut self.context, &function);
                    guest.started(&mut self.context, result);
                }
            }
            Input::VmVipSet { function, result } => {
                if let Some(guest) = self.guests.get_mut(&function) {
                    guest.vip_set(&mut self.context, result);
                }
            }
            Input::VmReleased { function } => {
                if let Some(guest) = self.guests.get_mut(&function) {
                    guest.released(&mut self.context);
                }
            }
            Input::ServicesRestarted(result) => {
                if let Some(to) = self.restart_for.take() {
                    let failure = result.err();
                    self.context
                        .send(&to, Message::ServiceRestarted { failure });
                }
            }
            Input::Standby { function, loaded } => {
                self.standbys.loaded(&mut self.context, &function, loaded);
            }
            Input::Load(sample) => {
                self.context.measured(*sample);
                self.context.write_condition();
            }
        }
    }

    pub(super) fn message(&mut self, from: &ServerName, message: Message) {
        match message {
            Message::S { known } => {
                if self.ready && self.sync.heard(&self.context) {
                    self.round();
                }
                if known != self.context.ledger.digest() {
                    self.context.ask_word(from);
                }
            }
            Message::R { target } => self.relieve(from, &target, true),
            Message::U { target } => self.relieve(from, &target, false),
            Message::D { target } => {
                let event = Event::DReceived {
                    target: target.clone(),
                    from: from.clone(),
                };
                let wish = self.managers.get(&target).and_then(|m| m.given_up());
                if wish == Some(Wish::End) {
                    self.context.log(event);
                }
                self.grant_wish(&target, wish);
            }
            Message::Flag => self.context.out.push(super::Output::RaiseFlag),
            Message::Ask {
                function,
                epoch,
                stamp_ms,
                boot,
                short,
            } => {
                let question = Question {
                    from: from.clone(),
                    epoch,
                    stamp_ms,
                    boot,
                };
                self.asked(&function, &question);
                if short {
                    self.wanted(function, question);
                }
            }
            Message::Grant {
                function,
                epoch,
                until_ms,
            } => {
                let until = Now::from_millis(until_ms);
                if function == self.context.config.me {
                    self.home.grant(&mut self.context, epoch, until);
                } else if let Some(guest) = self.guests.get_mut(&function) {
                    guest.grant(&mut self.context, epoch, until);
                }
            }
            Message::Refuse { record } => {
                if record.claim.function == self.context.config.me {
                    self.home.refused(&self.context);
                }
                self.context.learn(*record);
            }
            Message::AskWord { stamp_ms, known } => {
                if self.ready {
                    let doubts = self.doubts();
                    self.context.asked_word(from, stamp_ms, &known, doubts);
                }
            }
            Message::GiveWord { stamp_ms, doubts } => {
                self.context.heard_word(from, stamp_ms, &doubts);
                self.answer_late();
            }
            Message::Hear { target } => {
                if let Some(manager) = self.managers.get_mut(&target) {
                    manager.is_awaited(&mut self.context);
                }
                if self.managers.contains_key(&target) || self.cases.contains_key(&target) {
                    self.context.send(from, Message::Heard { target });
                }
            }
            Message::Heard { target } => {
                if let Some(manager) = self.managers.get_mut(&target) {
                    manager.heard(from, self.context.now);
                }
            }
            Message::HearOf { server } => {
                let manager = self.managers.get(&server);
                if let Some(at) = manager.and_then(|manager| manager.agent_heard()) {
                    let ago_ms = Now(self.context.now.since(at)).as_millis();
                    self.context.send(from, Message::HeardOf { server, ago_ms });
                }
            }
            Message::HeardOf { server, ago_ms } => {
                let at = Now(self.context.now.since(Now::from_millis(ago_ms)));
                for manager in self.managers.values_mut() {
                    manager.heard(&server, at);
                }
            }
            Message::HandOver {
                function,
                epoch,
                out,
                left_ms,
            } => {
                let until = self.context.now + Now::from_millis(left_ms).0;
                let sender = from.clone();
                let handed = Handed {
                    sender,
                    epoch,
                    out,
                    until,
                };
                self.handed.insert(function, handed);
            }
            Message::Confirm {
                target,
                depth: Depth::Network,
            } => {
                let waits = self
                    .managers
                    .get(&target)
                    .is_some_and(|m| m.awaits_network());
                self.sights.confirm(&mut self.context, from, &target, waits);
            }
            Message::Confirm {
                target,
                depth: Depth::Service,
            } => self.sights.visit(&mut self.context, from, &target),
            Message::Seen {
                target,
                depth,
                sight,
            } => {
                let manager = self.managers.get_mut(&target);
                let wish = manager.and_then(|m| m.seen(&mut self.context, from, depth, sight));
                self.grant_wish(&target, wish);
            }
            Message::Modified { record } => {
                self.context.learn(*record);
            }
            Message::AskLoad => self.context.tell_load(from),
            Message::Load(load) => {
                let own = |sample: &Sample| sample.name == *from;
                if load.sample.as_ref().is_none_or(own) {
                    self.context.heard_load(from, *load);
                    self.standbys.heard(&mut self.context);
                }
            }
            Message::Standby { function, load } => {
                self.standbys.ordered(&mut self.context, function, load);
            }
            other => self.order(from, other),
        }
    }

    /// Orders of a recovery and the answers to them.
    fn order(&mut self, from: &ServerName, message: Message) {
        let context = &mut self.context;
        match message {
            Message::Activate { function, epoch } => self.activate(from, function, epoch),
            Message::Activated {
                function,
                epoch,
                failure,
            } => {
                if let Some(case) = self.cases.get_mut(&function) {
                    case.activated(context, from, epoch, failure);
                }
            }
            Message::SetVip { function, epoch } => {
                if let Some(guest) = self.guests.get_mut(&function) {
                    guest.set_vip(context, epoch);
                }
            }
            Message::VipSet {
                function,
                epoch,
                failure,
            } => {
                if let Some(case) = self.cases.get_mut(&function) {
                    case.vip_set(context, from, epoch, failure);
                }
            }
            Message::Release { function, epoch } => match self.guests.get_mut(&function) {
                Some(guest) => guest.ordered_off(context, from, epoch),
                None => context.send(from, Message::Released { function, epoch }),
            },
            Message::Released { function, epoch } => {
                if let Some(case) = self.cases.get_mut(&function).filter(|c| c.epoch() == epoch) {
                    case.released(context, from);
                }
            }
            Message::RestartService => {
                self.restart_for = Some(from.clone());
                context.out.push(super::Output::RestartServices);
            }
            Message::ServiceRestarted { .. } => {
                if let Some(manager) = self.managers.get_mut(from) {
                    manager.restarted(context);
                }
            }
            Message::DropVip { epoch } => self.home.ordered_off(context, from, epoch),
            Message::VipDropped { epoch } => {
                if let Some(case) = self.cases.get_mut(from).filter(|c| c.epoch() == epoch) {
                    if let Some(outcome) = case.job().vip_dropped(context) {
                        case.outcome(context, outcome);
                    }
                }
            }
            Message::Reboot { epoch } => {
                let claimed = context.ledger.away(&context.config.me);
                let owner = claimed.map(|record| (&record.claim.owner, record.claim.epoch));
                if owner == Some((from, epoch)) {
                    context.out.push(super::Output::Reboot);
                }
            }
            Message::Holding { epoch } => {
                if let Some(case) = self.cases.get_mut(from) {
                    case.holding(context, epoch);
                } else if self.called_home.get(from) == Some(&epoch) {
                    self.called_home.remove(from);
                    Case::recovered(context, from.clone());
                }
            }
            _ => {}
        }
    }

    fn relieve(&mut self, from: &ServerName, target: &ServerName, by_r: bool) {
        let Some(manager) = self.managers.get_mut(target) else {
            return;
        };
        let (target, from) = (target.clone(), from.clone());
        if !manager.is_idle() {
            self.context.log(if by_r {
                Event::RReceived { target, from }
            } else {
                Event::UReceived { target, from }
            });
        }
        manager.relieved(&mut self.context);
        self.context.changed = true;
    }

    fn activate(&mut self, from: &ServerName, function: ServerName, epoch: Epoch) {
        let context = &mut self.context;
        if function == context.config.me || context.data(&function).is_none() {
            return;
        }
        match self.guests.get_mut(&function) {
            Some(guest) => guest.activate(context, from, epoch),
            None => {
                let guest = Guest::new(context, from, &function, epoch);
                self.guests.insert(function, guest);
            }
        }
    }

    fn pinged(&mut self, id: &ExamId, ok: bool) {
        self.sights.pinged(&mut self.context, id, ok);
        match id.asker {
            Asker::Manager => {
                let manager = self.managers.get_mut(&id.target);
                let wish = manager.and_then(|m| m.pinged(&mut self.context, id, ok));
                self.grant_wish(&id.target, wish);
            }
            Asker::Job => {
                if let Some(case) = self.cases.get_mut(&id.target) {
                    if let Some(outcome) = case.job().pinged(&mut self.context, id, ok) {
                        case.outcome(&mut self.context, outcome);
                    }
                }
            }
            Asker::Peer => {}
        }
    }

    fn probed(&mut self, id: &ExamId, service: Service, ok: bool) {
        match id.asker {
            Asker::Manager => {
                let manager = self.managers.get_mut(&id.target);
                let wish = manager.and_then(|m| m.probed(&mut self.context, id, service, ok));
                self.grant_wish(&id.target, wish);
            }
            Asker::Job => {
                if let Some(case) = self.cases.get_mut(&id.target) {
                    if let Some(outcome) = case.job().probed(&mut self.context, id, service, ok) {
                        case.outcome(&mut self.context, outcome);
                    }
                }
            }
            Asker::Peer => self.sights.probed(&mut self.context, id, service, ok),
        }
    }

    fn claimed(&mut self, claim: &Claim, result: &ClaimResult) {
        let function = claim.function.clone();
        if !matches!(result, ClaimResult::Failed(_)) {
            let won = *result == ClaimResult::Won;
            self.context.settled(claim, won);
        }
        if let Some(errand) = self
            .errands
            .get_mut(&function)
            .filter(|e| e.claim == *claim)
        {
            let retry = self.context.now + self.context.timings().t_wait;
            match result {
                ClaimResult::Failed(_) => errand.retry = retry,
                ClaimResult::Lost(record) => {
                    self.errands.remove(&function);
                    self.context.learn(Record::clone(record));
                    self.context.changed = true;
                    // An own claim whose success was not known: give it back all the same.
                    let own = record.claim.owner == self.context.config.me && record.is_away();
                    if own && claim.purpose == Purpose::Home {
                        self.withdraw(&function);
                    }
                }
                ClaimResult::Won => self.errand_won(claim),
            }
            return;
        }
        if let Some(case) = self.cases.get_mut(&function) {
            if !case.claimed(&mut self.context, claim, result) {
                self.cases.remove(&function);
                if let Some(manager) = self.managers.get_mut(&function) {
                    manager.regular(&mut self.context);
                }
                self.context.changed = true;
            }
            return;
        }
        let manager = self.managers.get_mut(&function);
        let wish = manager.and_then(|m| m.claimed(&mut self.context, claim, result));
        self.grant_wish(&function, wish);
    }

    fn errand_won(&mut self, claim: &Claim) {
        let function = &claim.function;
        self.errands.remove(function);
        let old = self.context.ledger.get(function).cloned();
        let (target, epoch) = (function.clone(), claim.epoch);
        self.context.log(Event::Claimed { target, epoch });
        let host = old.as_ref().and_then(|record| record.state.host.clone());
        let state = match claim.purpose {
            Purpose::Home => State::default(),
            Purpose::Recover => State {
                host,
                ..State::default()
            },
        };
        self.context.publish(Record {
            claim: claim.clone(),
            state,
        });
        if claim.purpose == Purpose::Recover {
            if let Some(old) = old.filter(|old| old.claim.owner != claim.owner) {
                let (target, from) = (function.clone(), old.claim.owner);
                self.context.log(Event::Inherited { target, from });
            }
            self.resume(function);
        }
    }
}
