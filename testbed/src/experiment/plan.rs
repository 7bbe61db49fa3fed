//! The steps of a run, how long each should take and when waiting for it ends.

use super::progress::Phase;
use super::spec::{Experiment, Survey, Until};
use crate::report::analytical::{self, Characteristics, Parameters, Settings};
use crate::report::paper::Paper;
use ringward::cluster::Timings;
use std::time::Duration;

/// A step of a run, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The site is brought to its ready state.
    Lab,
    /// Settings and stress are as the experiment asks.
    Conditions,
    /// Every server is in the ring and holds its VIP.
    Regular,
    /// Machines at rest are measured.
    Surveyed,
    /// The client is served.
    Served,
    /// An examination begins (S).
    Cycle,
    /// The moment of the trouble comes.
    Moment,
    /// A manager detects the trouble.
    Detected,
    /// The function is back on a backup VM.
    Function,
    /// The next server fails too, and the functions are back on others.
    Then(usize),
    /// The client is served again; the targets are not awaited.
    ServedAgain,
    /// The target is back.
    Target,
    /// The ring is as at the start.
    Home,
    /// Everything is in the run directory.
    Collected,
}

/// The steps of one experiment with their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<(Step, Phase)>,
}

/// Added to every bound: machines are emulated and share a few processors.
const SLACK: Duration = Duration::from_secs(30);

impl Plan {
    /// The plan for `experiment` under `timings` on machines with these `characteristics`; the
    /// paper's stand in for those that are not known (NaN).
    #[must_use]
    pub fn new(
        experiment: &Experiment,
        timings: &Timings,
        characteristics: Characteristics,
    ) -> Self {
        let p = Parameters {
            settings: settings(timings),
            characteristics: expected(characteristics),
        };
        let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let recoveries = experiment.strikes.iter();
        let recoveries = recoveries.map(|strike| analytical::recovery(strike.trouble, &p));
        let (mut function, mut target) = (Duration::ZERO, Duration::ZERO);
        for recovery in recoveries {
            function = function.max(time(recovery.function.unwrap_or(0.0)));
            target = target.max(time(recovery.target));
        }
        let detection = timings.t_im + timings.t_nd.max(timings.t_sw)
            - experiment.moment.after_s(timings.t_im).min(timings.t_im);
        let restart = timings.t_sw + timings.t_sr;

        let mut plan = Self { steps: Vec::new() };
        let seconds = Duration::from_secs;
        plan.add(Step::Lab, "lab ready", seconds(20), seconds(1800));
        let conditions = &experiment.conditions;
        if conditions.change_settings() || !conditions.stress.is_empty() {
            plan.add(Step::Conditions, "conditions set", seconds(5), seconds(300));
        }
        if let Some(survey) = &experiment.survey {
            if let Survey::Activation { under, .. } = survey {
                let each = seconds(45) * u32::try_from(under.len()).unwrap_or(u32::MAX);
                plan.add(Step::Surveyed, "machines measured", each, each * 10);
            }
            plan.add(Step::Collected, "logs collected", seconds(15), seconds(600));
            return plan;
        }
        // Managers that read other settings take golden states to hand anew.
        let anew = match conditions.change_settings() {
            true => timings.standby_calm + seconds(40),
            false => Duration::ZERO,
        };
        let (expected, bound) = (seconds(25) + anew, seconds(120) + 2 * anew);
        plan.add(Step::Regular, "ring regular", expected, bound);
        plan.add(Step::Served, "client served", seconds(3), seconds(30));
        plan.add(
            Step::Cycle,
            "next examination (S)",
            timings.t_im / 2,
            timings.t_im * 3,
        );
        let moment = experiment.moment.after_s(timings.t_im);
        plan.add(Step::Moment, "moment of the trouble", moment, moment);
        plan.add(
            Step::Detected,
            "trouble detected",
            detection,
            timings.t_im + detection,
        );
        if experiment.needs_backup() {
            let bound = (timings.t_nd + restart + timings.t_va) * 2;
            plan.add(Step::Function, "function recovered", function, bound);
        }
        for number in 0..experiment.then.len() {
            // A host that is lost is found by its managers or when the VM asks for no grant.
            let expected = timings.t_im + function + timings.vm_ttl;
            plan.add(
                Step::Then(number),
                "next one lost, functions recovered",
                expected,
                expected * 4,
            );
        }
        match experiment.until {
            Until::Function => {
                plan.add(
                    Step::ServedAgain,
                    "client served again",
                    seconds(3),
                    seconds(60),
                );
            }
            Until::Home => {
                let bound = if experiment.needs_backup() {
                    timings.t_rc + timings.t_up * 2 + target.mul_f64(0.5)
                } else {
                    restart * 2
                };
                let expected = target.saturating_sub(function);
                plan.add(Step::Target, "target recovered", expected, bound);
                let bound = timings.t_im + seconds(60);
                plan.add(Step::Home, "ring regular again", seconds(5), bound);
            }
        }
        plan.add(Step::Collected, "logs collected", seconds(15), seconds(600));
        plan
    }

    fn add(&mut self, step: Step, name: &'static str, expected: Duration, bound: Duration) {
        self.steps.push((
            step,
            Phase {
                name,
                expected,
                bound: bound + SLACK,
            },
        ));
    }

    /// All phases, for the display.
    #[must_use]
    pub fn phases(&self) -> Vec<Phase> {
        self.steps.iter().map(|(_, phase)| phase.clone()).collect()
    }

    /// Place and phase of `step`, when this experiment has it.
    #[must_use]
    pub fn find(&self, step: Step) -> Option<(usize, &Phase)> {
        let index = self.steps.iter().position(|(s, _)| *s == step)?;
        Some((index, &self.steps[index].1))
    }
}

/// The settings that enter the equations.
#[must_use]
pub fn settings(timings: &Timings) -> Settings {
    Settings {
        t_im: timings.t_im.as_secs_f64(),
        t_nd: timings.t_nd.as_secs_f64(),
        t_sw: timings.t_sw.as_secs_f64(),
        t_rc: timings.t_rc.as_secs_f64(),
    }
}

/// `ours` with the gaps filled from the paper's Table 3; only for what the operator is told to
/// expect.
fn expected(ours: Characteristics) -> Characteristics {
    let papers = Paper::load().ok().and_then(|paper| paper.parameters("ftp"));
    let Some(papers) = papers.map(|p| p.characteristics) else {
        return ours;
    };
    let known = |ours: f64, theirs: f64| if ours.is_finite() { ours } else { theirs };
    Characteristics {
        t_ts: known(ours.t_ts, papers.t_ts),
        t_tr: known(ours.t_tr, papers.t_tr),
        t_se: known(ours.t_se, papers.t_se),
        t_v: known(ours.t_v, papers.t_v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::catalogue;
    use crate::report::calibration::Calibration;
    use ringward::cluster::Activation;

    fn plan(name: &str) -> Plan {
        let experiment = catalogue::find(name, &catalogue::tests::SERVERS)
            .unwrap()
            .remove(0);
        let none = Calibration::default().characteristics("ftp", Activation::Standby, None);
        Plan::new(&experiment, &Timings::default(), none)
    }

    #[test]
    fn nt2_by_the_papers_figures() {
        let text: String = plan("nt2")
            .phases()
            .iter()
            .map(|phase| {
                let (expected, bound) = (phase.expected.as_secs_f64(), phase.bound.as_secs_f64());
                format!("{:24} {expected:6.2} {bound:7.2}\n", phase.name)
            })
            .collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn st1_waits_for_no_backup() {
        assert!(plan("st1").find(Step::Function).is_none());
        assert_eq!(
            plan("st1").find(Step::Target).map(|(index, _)| index),
            Some(7)
        );
    }
}
