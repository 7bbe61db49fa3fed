//! Plays a scenario and says what came of it.

use std::time::Duration;

use ringward::manage::Now;
use serde::Deserialize;

use super::audit::Audit;
use super::log::Line;
use super::scenario::{Scenario, moment};
use super::world::{Sabotage, World};

/// How a scenario must end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ends {
    /// All is as at the start.
    #[default]
    Home,
    /// No more than that no rule is broken.
    Anyhow,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The event log, if one was wanted.
    pub log: Vec<Line>,
    /// The rules.
    pub audit: Audit,
    /// What is not as at the start, although it should be.
    pub missing: Option<String>,
    /// What happened: messages, ticks, results, faults.
    pub steps: u64,
    /// When it ended.
    pub end: Now,
}

impl Outcome {
    /// Whether no rule was broken and it ended as it should.
    pub fn is_clean(&self) -> bool {
        self.audit.violation.is_none() && self.missing.is_none()
    }

    /// The log and the audit, as `testbed sim` prints them. `ticks`: with the lines that only count
    /// seconds.
    pub fn report(&self, ticks: bool) -> String {
        let mut text = String::new();
        for line in self.log.iter().filter(|line| ticks || !line.is_tick()) {
            text.push_str(&format!("{line}\n"));
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&self.audit.report());
        if let Some(missing) = &self.missing {
            text.push_str(&format!("not as at the start: {missing}\n"));
        }
        text
    }
}

/// Plays it to its end; when all was healed, until all is as at the start.
///
/// # Errors
/// Servers that cannot be.
pub fn play(scenario: &Scenario, with_log: bool) -> anyhow::Result<Outcome> {
    play_with(scenario, with_log, None)
}

pub(super) fn play_with(
    scenario: &Scenario,
    with_log: bool,
    sabotage: Option<Sabotage>,
) -> anyhow::Result<Outcome> {
    let mut world = World::new(scenario.cluster()?, scenario.seed);
    if !with_log {
        world.log = None;
    }
    world.sabotage = sabotage;
    for (at, fault) in &scenario.faults {
        world.plan(moment(*at), fault.clone());
    }
    let mut end = moment(scenario.until);
    world.run_until(end);
    while world.audit.healing.is_some() && world.audit.violation.is_none() {
        end = end + Duration::from_secs(1);
        world.run_until(end);
    }
    let missing = world.missing().filter(|_| scenario.ends == Ends::Home);
    Ok(Outcome {
        log: world.log.take().unwrap_or_default(),
        audit: world.audit,
        missing,
        steps: world.steps,
        end: world.now,
    })
}
