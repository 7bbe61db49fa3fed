//! Makes the list of faults of a failing scenario small.

use super::fault::Fault;
use super::play::{Outcome, play};
use super::scenario::Scenario;

/// The most runs that are tried.
const RUNS: usize = 400;

/// Whether `outcome` failed in the way that `first` did.
fn same(outcome: &Outcome, first: &Outcome) -> bool {
    let rule = |outcome: &Outcome| outcome.audit.violation.as_ref().map(|broken| broken.rule);
    rule(outcome) == rule(first) && !outcome.is_clean()
}

/// Leaves out every fault without which the scenario breaks the same rule. `outcome` is what came of
/// the whole.
///
/// # Errors
/// As [`play`].
pub fn shrink(scenario: &Scenario, outcome: &Outcome) -> anyhow::Result<Scenario> {
    let mut best = scenario.clone();
    if outcome.is_clean() {
        return Ok(best);
    }
    let first = outcome;
    if outcome.audit.violation.is_some() {
        cut_short(&mut best, outcome);
    }
    let mut runs = 0;
    let mut step = best.faults.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut smaller = false;
        while at < best.faults.len() && runs < RUNS {
            runs += 1;
            let mut fewer = best.clone();
            let left_out = at..(at + step).min(fewer.faults.len());
            let mut index = 0;
            // Without its repair nothing would be as at the start.
            fewer.faults.retain(|(_, fault)| {
                index += 1;
                *fault == Fault::Heal || !left_out.contains(&(index - 1))
            });
            let left = fewer.faults.len() < best.faults.len();
            let outcome = play(&fewer, false)?;
            if left && same(&outcome, first) {
                best = fewer;
                smaller = true;
                if outcome.audit.violation.is_some() {
                    cut_short(&mut best, &outcome);
                }
            } else {
                at += step;
            }
        }
        if runs >= RUNS || (step == 1 && !smaller) {
            return Ok(best);
        }
        step = step.div_ceil(2).max(1);
    }
}

/// Ends it where the rule was broken.
fn cut_short(scenario: &mut Scenario, outcome: &Outcome) {
    let end = outcome.end.0.as_secs_f64();
    scenario.faults.retain(|(at, _)| *at <= end);
    scenario.until = scenario.until.min((end * 1000.0).ceil() / 1000.0);
}
