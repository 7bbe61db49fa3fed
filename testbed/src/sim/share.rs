//! The shared area: claims with their states, and the management files.
//!
//! As the agent's own share: a claim is created whole in one step and never changed; a state is
//! replaced whole by the claim's owner. The mount has no caches (`actimeo=0,lookupcache=none`), so
//! a reading shows what was there at some moment between its begin and its end. A state file can
//! be read while it is replaced: then it is the old one, or a mixture, which its seal tells.

use ringward::manage::claim::{Claim, Purpose, Record, State};
use ringward::manage::{ClaimResult, Now, Views};
use ringward::share::{seal, unseal};
use std::time::Duration;

/// How the file server does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Health {
    #[default]
    Well,
    /// Refuses everybody.
    Away,
    /// Takes requests and answers none; those on their way are carried out when it is well again.
    Hung,
    /// Each request takes up to this much longer.
    Slow(Duration),
}

/// How state files read while they are being replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum States {
    #[default]
    Whole,
    /// Partly new, partly old.
    Torn,
    /// The one before.
    Old,
}

/// A claim file and all that its state file ever was.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) claim: Claim,
    pub(super) made: Now,
    states: Vec<State>,
}

impl Stored {
    /// Whether it takes the function away from home.
    pub(super) fn is_away(&self) -> bool {
        self.claim.purpose == Purpose::Recover
    }

    fn record(&self) -> Record {
        Record {
            claim: self.claim.clone(),
            state: self.states.last().cloned().unwrap_or_default(),
        }
    }
}

/// The shared area.
#[derive(Debug)]
pub(super) struct Share {
    claims: Vec<Vec<Stored>>,
    pub(super) health: Health,
    pub(super) states: States,
    /// The management files, as somebody last replaced them.
    pub(super) files: Option<Views>,
}

impl Share {
    pub(super) fn new(functions: usize) -> Self {
        Self {
            claims: (0..functions).map(|_| Vec::new()).collect(),
            health: Health::Well,
            states: States::Whole,
            files: None,
        }
    }

    /// All claims on a function, oldest first.
    pub(super) fn claims(&self, function: usize) -> &[Stored] {
        &self.claims[function]
    }

    /// The newest claim on a function.
    pub(super) fn newest(&self, function: usize) -> Option<&Stored> {
        self.claims[function].last()
    }

    /// What a reader sees of a function; `unchecked` looks at no seal.
    pub(super) fn read(&self, function: usize, unchecked: bool) -> Option<Record> {
        let stored = self.newest(function)?;
        let last = stored.states.len();
        let state = match self.states {
            States::Whole => return Some(stored.record()),
            States::Old => stored.states.get(last.wrapping_sub(2)).cloned(),
            States::Torn => torn(&stored.states, unchecked),
        };
        Some(Record {
            claim: stored.claim.clone(),
            state: state.unwrap_or_default(),
        })
    }

    /// Tries to create a claim, as the agent does: not against a claim on the claimant itself, not
    /// under an epoch that is taken. With `both` whoever tries an epoch gets it.
    pub(super) fn claim(
        &mut self,
        now: Now,
        me: usize,
        function: usize,
        claim: &Claim,
        both: bool,
    ) -> ClaimResult {
        if let Some(own) = self.newest(me).map(Stored::record) {
            if claim.is_barred_by(&own) {
                return ClaimResult::Lost(Box::new(own));
            }
        }
        match self.newest(function) {
            Some(last) if last.claim == *claim => return ClaimResult::Won,
            Some(last) if last.claim.epoch >= claim.epoch && !both => {
                return ClaimResult::Lost(Box::new(last.record()));
            }
            _ => {}
        }
        self.claims[function].push(Stored {
            claim: claim.clone(),
            made: now,
            states: Vec::new(),
        });
        ClaimResult::Won
    }

    /// Replaces the state of a claim, unless somebody else holds that epoch.
    pub(super) fn write_state(&mut self, function: usize, record: Record) {
        let mut claims = self.claims[function].iter_mut().rev();
        if let Some(stored) = claims.find(|stored| stored.claim == record.claim) {
            stored.states.push(record.state);
        }
    }

    /// Whether somebody ever wrote this, whole.
    pub(super) fn was_written(&self, function: usize, record: &Record) -> bool {
        let mut claims = self.claims[function].iter().rev();
        claims.any(|stored| {
            stored.claim == record.claim
                && (record.state == State::default() || stored.states.contains(&record.state))
        })
    }
}

/// A state file half replaced: the new one's first bytes, then the old one's.
fn torn(states: &[State], unchecked: bool) -> Option<State> {
    let text = |state: &State| serde_json::to_string(state).map(|json| seal(&json)).ok();
    let new = text(states.last()?)?;
    let old = match states.len() {
        1 => String::new(),
        len => text(&states[len - 2])?,
    };
    let cut = "{\"revision\":1,".len();
    let mut mixed = new.as_bytes().get(..cut)?.to_vec();
    mixed.extend(old.as_bytes().get(cut..).unwrap_or_default());
    let text = if unchecked {
        String::from_utf8_lossy(&mixed).lines().next()?.to_owned()
    } else {
        unseal(&mixed).ok()?.to_owned()
    };
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringward::cluster::Epoch;
    use ringward::manage::claim::Phase;

    fn record(epoch: u64, owner: &str, revision: u64) -> Record {
        Record {
            claim: Claim {
                function: "ftp".parse().unwrap(),
                epoch: Epoch(epoch),
                owner: owner.parse().unwrap(),
                purpose: Purpose::Recover,
            },
            state: State {
                revision,
                phase: if revision > 1 {
                    Phase::Serving
                } else {
                    Phase::Starting
                },
                host: Some("mail".parse().unwrap()),
            },
        }
    }

    fn share() -> Share {
        let mut share = Share::new(2);
        let first = record(1, "web1", 1);
        let won = share.claim(Now::default(), 0, 1, &first.claim, false);
        assert_eq!(won, ClaimResult::Won);
        share
    }

    #[test]
    fn an_epoch_is_claimed_once() {
        let mut share = share();
        let second = record(1, "web2", 1).claim;
        let lost = share.claim(Now::default(), 0, 1, &second, false);
        assert!(matches!(lost, ClaimResult::Lost(record) if record.claim.owner.as_str() == "web1"));
        let again = record(1, "web1", 1).claim;
        assert_eq!(
            share.claim(Now::default(), 0, 1, &again, false),
            ClaimResult::Won
        );
        assert_eq!(share.claims(1).len(), 1);
    }

    #[test]
    fn a_torn_state_is_told_by_its_seal() {
        let mut share = share();
        for revision in [1, 2] {
            share.write_state(1, record(1, "web1", revision));
        }
        assert_eq!(share.read(1, false), Some(record(1, "web1", 2)));
        share.states = States::Old;
        assert_eq!(share.read(1, false), Some(record(1, "web1", 1)));
        share.states = States::Torn;
        let read = share.read(1, false).unwrap();
        assert_eq!(read.state, State::default());
        let unchecked = share.read(1, true).unwrap();
        assert_eq!(
            (unchecked.state.revision, unchecked.state.phase),
            (2, Phase::Starting)
        );
        assert!(!share.was_written(1, &unchecked) && share.was_written(1, &read));
    }
}
