//! Faults of the LAN. A fault is a guard: while it lives the fault is there; dropped, it is gone.
//!
//! Faults are tried in the order in which they were made, and the first that matches a frame
//! decides about it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Which frames a fault concerns, by the machines whose links they enter and leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that this machine sends or should get.
    Link(String),
    /// What goes one way; an absent end is any machine.
    Way {
        /// Sender.
        from: Option<String>,
        /// Receiver.
        to: Option<String>,
    },
    /// What crosses the border of this set of machines, either way.
    Border(BTreeSet<String>),
}

/// What becomes of such a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is lost.
    Drop,
    /// This many of a hundred are lost, at random.
    Lose(u8),
    /// It comes later.
    Delay(Duration),
}

/// What is to be done with one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver, this much later than usual.
    Pass(Duration),
    /// Drop.
    Drop,
}

impl Scope {
    fn matches(&self, from: &str, to: &str) -> bool {
        let is = |end: &Option<String>, name: &str| end.as_ref().is_none_or(|e| e == name);
        match self {
            Scope::Link(name) => name == from || name == to,
            Scope::Way { from: f, to: t } => is(f, from) && is(t, to),
            Scope::Border(set) => set.contains(from) != set.contains(to),
        }
    }
}

type Rules = Arc<Mutex<Vec<(u64, Scope, Effect)>>>;

/// The faults that are there now.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Rules,
}

impl Faults {
    /// Makes a fault that lasts as long as the guard.
    #[must_use = "a fault lasts as long as its guard"]
    pub fn make(&self, scope: Scope, effect: Effect) -> Fault {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let id = rules.iter().map(|(id, ..)| id + 1).max().unwrap_or(0);
        rules.push((id, scope, effect));
        Fault {
            id,
            rules: self.rules.clone(),
        }
    }

    /// Decides about a frame; `dice` is a random number below 100.
    pub fn judge(&self, from: &str, to: &str, dice: u8) -> Verdict {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        match rules.iter().find(|(_, scope, _)| scope.matches(from, to)) {
            None => Verdict::Pass(Duration::ZERO),
            Some((_, _, Effect::Drop)) => Verdict::Drop,
            Some((_, _, Effect::Lose(percent))) if dice < *percent => Verdict::Drop,
            Some((_, _, Effect::Lose(_))) => Verdict::Pass(Duration::ZERO),
            Some((_, _, Effect::Delay(by))) => Verdict::Pass(*by),
        }
    }

    /// Whether nothing at all passes this machine's link.
    pub fn is_cut(&self, machine: &str) -> bool {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let cuts = |scope: &Scope| matches!(scope, Scope::Link(name) if name == machine);
        rules
            .iter()
            .any(|(_, scope, effect)| cuts(scope) && *effect == Effect::Drop)
    }
}

/// A fault that ends when this is dropped.
#[derive(Debug)]
pub struct Fault {
    id: u64,
    rules: Rules,
}

impl Drop for Fault {
    fn drop(&mut self) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|(id, ..)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Verdict = Verdict::Pass(Duration::ZERO);

    #[test]
    fn a_fault_ends_with_its_guard() {
        let faults = Faults::default();
        let cut = faults.make(Scope::Link("ftp".into()), Effect::Drop);
        assert_eq!(faults.judge("ftp", "mail", 0), Verdict::Drop);
        assert_eq!(faults.judge("mail", "ftp", 0), Verdict::Drop);
        assert_eq!(faults.judge("mail", "web1", 0), PASS);
        drop(cut);
        assert_eq!(faults.judge("ftp", "mail", 0), PASS);
    }

    #[test]
    fn loss_goes_one_way_and_the_first_match_decides() {
        let faults = Faults::default();
        let way = |from: &str, to| Scope::Way {
            from: Some(from.into()),
            to,
        };
        let _late = faults.make(
            way("ftp", Some("mail".into())),
            Effect::Delay(Duration::from_secs(1)),
        );
        let _loss = faults.make(way("ftp", None), Effect::Lose(30));
        assert_eq!(
            faults.judge("ftp", "mail", 0),
            Verdict::Pass(Duration::from_secs(1))
        );
        assert_eq!(faults.judge("ftp", "web1", 29), Verdict::Drop);
        assert_eq!(faults.judge("ftp", "web1", 30), PASS);
        assert_eq!(faults.judge("web1", "ftp", 0), PASS);
    }

    #[test]
    fn a_border_parts_the_inside_from_the_outside() {
        let faults = Faults::default();
        let inside = ["ftp", "web1"].map(String::from).into();
        let _border = faults.make(Scope::Border(inside), Effect::Drop);
        assert_eq!(faults.judge("ftp", "web1", 0), PASS);
        assert_eq!(faults.judge("mail", "login", 0), PASS);
        assert_eq!(faults.judge("mail", "web1", 0), Verdict::Drop);
    }
}
