//! Grants: who holds a VIP holds it as long as one is good. A grant is as good as the evidence that
//! nobody has claimed the function since, which is one of two:
//!
//! * a reading of the share. Every server reads about its own function, and the owner of a claim
//!   about what it claimed, so that this costs the same however many servers there are.
//! * when that does not suffice, because the share is slow or away: the word of every other server
//!   that could claim. Who is asked for a grant asks all others, saying which claims it knows; who
//!   knows the same ones answers, and says which functions it acts or may act against. Who knows
//!   other claims says those instead.
//!
//! Both count from the question. So a claim ends them by itself: the claimant withholds its word,
//! and so does everyone who knows the claim; a reading shows it. [`Context::out`] is when the last
//! grant before a claim of this server is out. ARCHITECTURE.md has the argument.

use std::collections::BTreeMap;
use std::time::Duration;

use super::claim::{Claim, Purpose, Record};
use super::context::Context;
use super::io::{Now, Output, Query};
use super::message::{Known, Message};
use super::moments::Moments;
use crate::cluster::{Epoch, ServerName};

/// What this server heard, read and gave.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// By server and function: when we asked, of the last question that it answered with its word.
    words: BTreeMap<ServerName, Moments>,
    /// Words of questions from before then do not count.
    forgot: Now,
    /// When the last reading began that showed no claim we do not know.
    read: Moments,
    /// When the last grant for a server at home is out that was given here or on our word.
    given: Moments,
    /// All claims were read since this server started.
    knows: bool,
    /// All claims were read since then.
    read_all: bool,
    /// When this server last won a claim.
    won: Now,
    /// Since when a server is known to be out and to have claimed one that is out too.
    doubted: Moments,
    /// Own claims that the share may or may not have, with when they were sent first.
    open: Vec<(Claim, Now)>,
    /// Since when this server is in the group, as far as it knows what it gave.
    joined: Now,
    /// Readings of the share that are under way, with when they began.
    reading: BTreeMap<ServerName, Now>,
    /// When a holder last said that what it has runs out.
    wanted: Moments,
    /// When the others may be asked for their word again.
    ask: Now,
    /// When the evidence is looked at again: not while nobody needs any.
    next: Now,
}

impl Context {
    /// When the evidence is looked at again.
    pub(super) fn next_question(&self) -> Now {
        self.grants.next
    }

    /// There may be something new to look for evidence for.
    pub(super) fn look_again(&mut self) {
        self.grants.next = self.now;
    }

    /// This server has started, or is back in the group.
    pub(super) fn joined(&mut self) {
        self.grants.joined = self.now;
    }

    /// A claim of ours goes out.
    pub(super) fn opened(&mut self, claim: &Claim) {
        self.look_again();
        if !self.grants.open.iter().any(|(open, _)| open == claim) {
            self.grants.open.push((claim.clone(), self.now));
        }
    }

    /// The share said what came of a claim of ours. A claim that was won is a reading too.
    pub(super) fn settled(&mut self, claim: &Claim, won: bool) {
        let sent = self.grants.open.iter().find(|(open, _)| open == claim);
        if let (Some((_, sent)), true) = (sent, won) {
            let sent = *sent;
            self.noted(&claim.function, sent);
        }
        if won {
            self.grants.read_all = false;
            self.grants.won = self.now;
            self.out.push(Output::ReadClaims(Query::All));
        }
        self.grants.open.retain(|(open, _)| open != claim);
    }

    /// A claim on `function` became known. Whether a claimant that is out is back is looked up, also after
    /// what is under way: until then this server's word is worth nothing.
    pub(super) fn doubt_claimants(&mut self, function: &ServerName) {
        let claimants = self.ledger.claimants_out();
        let concerned = claimants.filter(|(owner, of)| *owner == function || *of == function);
        let owners: Vec<ServerName> = concerned.map(|(owner, _)| owner.clone()).collect();
        for owner in owners {
            self.grants.doubted.raise(&owner, self.now);
            self.grants.reading.remove(&owner);
            self.read_claim(&owner);
        }
    }

    /// Claimants that are out, as far as is known, of which that was not looked up since.
    fn unsure_of(&self) -> impl Iterator<Item = &ServerName> {
        let claimants = self.ledger.claimants_out().map(|(owner, _)| owner);
        claimants.filter(|owner| self.grants.read.get(owner) < self.grants.doubted.get(owner))
    }

    /// A claim became known: older ones of ours that are still open cannot be won any more.
    pub(super) fn superseded(&mut self, function: &ServerName) {
        let epoch = self.ledger.epoch(function);
        let open = &mut self.grants.open;
        open.retain(|(claim, _)| claim.function != *function || claim.epoch > epoch);
    }

    /// A reading of the share showed no claim on a function that we do not know.
    pub(super) fn noted(&mut self, function: &ServerName, begun: Now) {
        self.grants.reading.remove(function);
        self.grants.read.raise(function, begun);
    }

    /// A reading of the share failed.
    pub(super) fn unread(&mut self, query: &Query) {
        if let Query::One(function) = query {
            self.grants.reading.remove(function);
        }
    }

    /// A reading of all claims began then.
    pub(super) fn noted_all(&mut self, begun: Now) {
        self.grants.knows = true;
        self.grants.read_all |= begun >= self.grants.won;
    }

    /// A server is out of the group. What the others said while its word counted with theirs says
    /// nothing without it.
    pub(super) fn forget_words(&mut self) {
        self.grants.words.clear();
        self.grants.forgot = self.now;
        // Stamps are whole milliseconds: the next question must not look as old as this.
        self.grants.ask = self.now + Duration::from_millis(1);
    }

    /// All other servers that could claim: those of the group that manage somebody.
    fn others(&self) -> impl Iterator<Item = &ServerName> {
        let managers = self.operation.managers();
        managers.filter(|name| **name != self.config.me)
    }

    /// Whether this server's word is worth nothing, to itself neither.
    fn is_mute(&self) -> bool {
        self.must_read_all() || self.unsure_of().next().is_some()
    }

    /// It may have forgotten what it claimed before it restarted. It may have brought a server back into
    /// the group without knowing. Or it took one out, and has not looked since what that one had claimed
    /// before: of the others nobody may know.
    fn must_read_all(&self) -> bool {
        let mut open = self.grants.open.iter();
        let brings_home = open.any(|(claim, _)| {
            claim.purpose == Purpose::Home && self.ledger.away(&claim.function).is_some()
        });
        let owns = || {
            let mut away = self.ledger.all_away();
            away.any(|record| record.claim.owner == self.config.me)
        };
        !self.grants.knows || brings_home || (!self.grants.read_all && owns())
    }

    /// Whether a function may be claimed by us without our knowing.
    pub(super) fn may_have_claimed(&self, function: &ServerName) -> bool {
        let mut open = self.grants.open.iter();
        open.any(|(claim, _)| claim.function == *function)
    }

    /// Functions that may be claimed by us without our knowing.
    pub(super) fn all_open(&self) -> impl Iterator<Item = &ServerName> {
        self.grants.open.iter().map(|(claim, _)| &claim.function)
    }

    /// How far the evidence reaches that nobody claimed `function`.
    pub(super) fn evidence(&self, function: &ServerName) -> Now {
        let timings = self.timings();
        let away = self.ledger.away(function).is_some();
        let (word, read) = if away {
            (timings.vm_ttl, timings.vm_ttl)
        } else {
            (timings.grant_ttl, timings.self_ttl)
        };
        let grants = &self.grants;
        // Our own word is one of them.
        let words = if self.is_mute() || self.may_have_claimed(function) {
            None
        } else {
            let word = |name: &ServerName| grants.words.get(name)?.get(function);
            let mut words = self.others().map(word);
            words.try_fold(self.now, |least, word| word.map(|word| least.min(word)))
        };
        let read = grants.read.get(function).map(|begun| begun + read);
        let words = words.map(|stamp| stamp + word);
        read.max(words).unwrap_or_default()
    }

    /// A holder of a function says that what it has runs out soon.
    pub(super) fn want(&mut self, function: &ServerName) {
        self.grants.wanted.raise(function, self.now);
        self.look_again();
    }

    fn is_wanted(&self, function: &ServerName) -> bool {
        let wanted = self.grants.wanted.get(function);
        wanted.is_some_and(|at| self.now.since(at) < self.timings().grant_ttl)
    }

    /// Sees to evidence about `functions`, those that we may grant. The share is read about those
    /// that a holder wants or a backup VM serves, and if that does not help all others are asked for
    /// their word. The more is amiss the more there is to do for all, so no reading is begun while
    /// one is under way, and words are asked for three times in the life of a grant.
    pub(super) fn question(&mut self, functions: &[&ServerName]) {
        let every = self.timings().grant_ttl / 3;
        let mute = self.is_mute();
        let waits = |function: &&&ServerName| {
            self.ledger.away(function).is_some() || self.is_wanted(function)
        };
        self.grants.next = if mute || functions.iter().any(|function| waits(&function)) {
            self.now + every / 2
        } else {
            Now(Duration::MAX)
        };
        if !self.in_group() {
            return;
        }
        let mut ask = false;
        for function in functions {
            let left = self.evidence(function).since(self.now);
            if self.ledger.away(function).is_some() {
                let life = self.timings().vm_ttl;
                if left < life / 2 {
                    self.read_claim(function);
                }
                ask |= left < life / 4;
            } else if self.is_wanted(function) && left < self.timings().grant_ttl / 2 {
                self.read_claim(function);
                ask = true;
            }
        }
        if !mute && !ask {
            return;
        }
        if self.now < self.grants.ask {
            self.grants.next = self.grants.next.min(self.grants.ask);
            return;
        }
        self.grants.ask = self.now + every;
        if self.must_read_all() {
            self.out.push(Output::ReadClaims(Query::All));
        }
        let unsure: Vec<ServerName> = self.unsure_of().cloned().collect();
        for owner in &unsure {
            self.read_claim(owner);
        }
        if ask {
            let question = self.word_question();
            let ask = |to: &ServerName| Output::Send {
                to: to.clone(),
                message: question.clone(),
            };
            let questions: Vec<Output> = self.others().map(ask).collect();
            self.out.extend(questions);
        }
    }

    /// Reads the newest claim of a function, unless that is under way.
    pub(super) fn read_claim(&mut self, function: &ServerName) {
        let begun = self.grants.reading.get(function);
        if begun.is_none_or(|at| self.now.since(*at) >= self.timings().self_ttl) {
            self.grants.reading.insert(function.clone(), self.now);
            let query = Query::One(function.clone());
            self.out.push(Output::ReadClaims(query));
        }
    }

    /// Asks a server for its word; it tells us what claims we do not know.
    pub(super) fn ask_word(&mut self, to: &ServerName) {
        self.send(to, self.word_question());
    }

    fn word_question(&self) -> Message {
        let known = |record: &Record| Known {
            function: record.claim.function.clone(),
            epoch: record.claim.epoch,
            revision: record.state.revision,
        };
        Message::AskWord {
            stamp_ms: self.now.as_millis(),
            known: self.ledger.all().map(known).collect(),
        }
    }

    /// A server asks for our word. `doubts`: the functions that we act or may act against.
    pub(super) fn asked_word(
        &mut self,
        from: &ServerName,
        stamp_ms: u64,
        known: &[Known],
        doubts: Vec<ServerName>,
    ) {
        let theirs = |function: &ServerName| {
            let known = known.iter().find(|known| known.function == *function);
            known.map(|known| (known.epoch, known.revision))
        };
        let records = self.ledger.all();
        let unknown: Vec<_> = records
            .filter(|record| {
                theirs(&record.claim.function) < Some((record.claim.epoch, record.state.revision))
            })
            .cloned()
            .collect();
        let behind = known.iter().any(|known| {
            let ours = self.ledger.get(&known.function);
            let ours = ours.map(|ours| (ours.claim.epoch, ours.state.revision));
            ours < Some((known.epoch, known.revision))
        });
        if behind {
            // Its answer is what we do not know.
            self.ask_word(from);
        }
        if unknown.is_empty() && !behind && !self.is_mute() {
            let end = self.now + self.timings().grant_ttl;
            self.grants.given.raise_all_but(&doubts, end);
            self.send(from, Message::GiveWord { stamp_ms, doubts });
        }
        for record in unknown {
            let record = Box::new(record);
            self.send(from, Message::Modified { record });
        }
    }

    /// A server gave its word, but for some functions.
    pub(super) fn heard_word(&mut self, from: &ServerName, stamp_ms: u64, doubts: &[ServerName]) {
        let stamp = Now::from_millis(stamp_ms);
        if stamp > self.now || stamp_ms <= self.grants.forgot.as_millis() {
            return;
        }
        if self.others().any(|name| name == from) {
            let words = self.grants.words.entry(from.clone()).or_default();
            words.raise_all_but(doubts, stamp);
        }
    }

    /// Answers the question of a holder, as far as the evidence reaches.
    pub(super) fn grant(
        &mut self,
        function: &ServerName,
        holder: &ServerName,
        epoch: Epoch,
        stamp_ms: u64,
    ) {
        let left = self.evidence(function).since(self.now);
        if left.is_zero() || !self.in_group() {
            return;
        }
        if self.ledger.away(function).is_none() {
            self.grants.given.raise(function, self.now + left);
        }
        let until_ms = stamp_ms.saturating_add(Now(left).as_millis());
        let message = Message::Grant {
            function: function.clone(),
            epoch,
            until_ms,
        };
        self.send(holder, message);
    }

    /// So much later all grants are out that were given here, on our word or by those before us.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.grants.given.postpone(by);
        self.grants.joined = self.grants.joined + by;
    }

    /// When every grant under the newest claim we know is out, if a claim of ours was won just now.
    pub(super) fn out(&self, function: &ServerName) -> Now {
        let timings = self.timings();
        if self.ledger.away(function).is_some() {
            return self.now + timings.vm_ttl;
        }
        let given = self.grants.given.get(function);
        let before = self.grants.joined + timings.grant_ttl;
        let read = self.now + timings.self_ttl;
        given.unwrap_or_default().max(before).max(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::State;
    use super::super::io::Config;
    use super::*;
    use crate::cluster::{Group, Settings};

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    fn context() -> Context {
        let mut context = Context::new(Config {
            me: name("a"),
            base: Group::parse("group", "1 a a.dat\n2 b b.dat\n3 c c.dat\n").unwrap(),
            data: BTreeMap::new(),
            settings: Settings::default(),
            vm_memory_kb: BTreeMap::new(),
            boot: 1,
        });
        context.noted_all(context.now);
        context
    }

    fn away(function: &str, owner: &str) -> Record {
        Record {
            claim: Claim {
                function: name(function),
                epoch: Epoch(1),
                owner: name(owner),
                purpose: Purpose::Recover,
            },
            state: State::default(),
        }
    }

    /// b is out, by a claim of ours, and c by one of b: either b lost c before, or it is back.
    #[test]
    fn who_does_not_know_whether_a_claimant_is_back_has_no_word() {
        for order in [[("b", "a"), ("c", "b")], [("c", "b"), ("b", "a")]] {
            let mut context = context();
            for (function, owner) in order {
                context.now = context.now + Duration::from_secs(1);
                context.learn(away(function, owner));
            }
            assert!(context.others().next().is_none());
            assert_eq!(context.evidence(&name("a")), Now::default());
            let read = Output::ReadClaims(Query::One(name("b")));
            assert!(context.out.contains(&read));

            context.noted(&name("b"), Now(context.now.0 - Duration::from_millis(1)));
            assert_eq!(context.evidence(&name("a")), Now::default());
            context.noted(&name("b"), context.now);
            let end = context.now + context.timings().grant_ttl;
            assert_eq!(context.evidence(&name("a")), end);
        }
    }
}
