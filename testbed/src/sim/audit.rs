//! What must hold at every step, whatever befalls the cluster.

use std::fmt;
use std::time::Duration;

use ringward::cluster::Timings;
use ringward::manage::Now;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one machine or VM has a VIP.
    OneOwner,
    /// At most one backup VM of a function has its VIP.
    OneVm,
    /// Epochs of a function only rise, on the share and on every server.
    EpochsRise,
    /// Nobody starts a VM, sets a VIP or keeps one under an epoch that is over.
    OldEpoch,
    /// No server is given what nobody ever wrote whole.
    TornFile,
    /// The share being away takes no healthy function away.
    ShareAway,
    /// A function is served again within a bound, if a server that could lives and has room.
    Served,
    /// After healing all is as at the start, within a bound.
    Healed,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OneOwner,
        Self::OneVm,
        Self::EpochsRise,
        Self::OldEpoch,
        Self::TornFile,
        Self::ShareAway,
        Self::Served,
        Self::Healed,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::OneOwner => "at most one owner of a VIP",
            Self::OneVm => "at most one backup VM with the VIP",
            Self::EpochsRise => "epochs only rise",
            Self::OldEpoch => "nobody acts under an old epoch",
            Self::TornFile => "no torn file is used",
            Self::ShareAway => "the share away takes no function away",
            Self::Served => "every function is served again",
            Self::Healed => "after healing all is as at the start",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Now,
    /// Which.
    pub rule: Rule,
    /// By whom and how.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.0.as_secs_f64();
        write!(f, "broken at {at:.3} s: {}: {}", self.rule, self.text)
    }
}

/// What was looked at and found.
#[derive(Debug)]
pub struct Audit {
    /// How often each rule was looked at, in the order of [`Rule::ALL`].
    pub checks: [u64; 8],
    /// The first that was broken.
    pub violation: Option<Violation>,
    /// How long a function that could be served may be without an owner.
    pub bound: Duration,
    /// The longest that one was.
    pub longest: Duration,
    /// The longest time from healing until all was as at the start.
    pub slowest: Duration,
    /// Since when each function could be served and is not.
    pub(super) lacking: Vec<Now>,
    /// Since when all is healed, and how long it may take.
    pub(super) healing: Option<(Now, Duration)>,
    /// When something befell the cluster last.
    pub(super) befell: Now,
    /// The share went away while all was as at the start, and nothing else happened since.
    pub(super) only_share: bool,
}

impl Audit {
    pub(super) fn new(functions: usize, timings: &Timings, activation: Duration) -> Self {
        Self {
            checks: [0; 8],
            violation: None,
            bound: bound(timings, activation),
            longest: Duration::ZERO,
            slowest: Duration::ZERO,
            lacking: vec![Now::default(); functions],
            healing: None,
            befell: Now::default(),
            only_share: false,
        }
    }

    /// Looks at a rule; `text` is only made when it is broken.
    pub(super) fn check(
        &mut self,
        at: Now,
        rule: Rule,
        holds: bool,
        text: impl FnOnce() -> String,
    ) {
        self.checks[rule as usize] += 1;
        if !holds && self.violation.is_none() {
            let text = text();
            self.violation = Some(Violation { at, rule, text });
        }
    }

    /// A line for each rule.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (rule, checks) in Rule::ALL.iter().zip(self.checks) {
            let broken = self.violation.as_ref().filter(|found| found.rule == *rule);
            let verdict = if broken.is_some() { "BROKEN" } else { "holds" };
            text.push_str(&format!("{verdict:<7}{rule:<38} {checks:>9} checks"));
            match rule {
                Rule::Served => text.push_str(&format!(
                    ", longest {:.1} s of {:.1} s",
                    self.longest.as_secs_f64(),
                    self.bound.as_secs_f64()
                )),
                Rule::Healed if self.slowest > Duration::ZERO => {
                    text.push_str(&format!(", slowest {:.0} s", self.slowest.as_secs_f64()));
                }
                _ => {}
            }
            text.push('\n');
        }
        if let Some(violation) = &self.violation {
            text.push_str(&format!("{violation}\n"));
        }
        text
    }
}

/// How long until a function that could be served is: two rounds, all examinations, a manager that
/// never saw its target since it started, older grants, two hosts that do not answer, the VM.
fn bound(timings: &Timings, activation: Duration) -> Duration {
    let find = 2 * timings.t_im + 2 * timings.t_nd + 2 * timings.t_sw + timings.t_sr + timings.t_cf;
    find + timings.t_up + 2 * timings.vm_ttl + 2 * timings.t_va + activation
}
