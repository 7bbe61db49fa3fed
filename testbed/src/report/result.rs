//! `result.json` and `junit.xml`: an experiment's outcome for other programs.
//!
//! Schema of `result.json` (version 4), all times in seconds:
//!
//! * `schema`: version of this layout; `made`: when, UTC
//! * `experiment`: name, titles of its file and its own, what the cluster was like, what strikes whom and
//!   what follows, or what was measured without any trouble, how far it goes, moment after S, profile,
//!   interval of accesses
//! * `circumstances`: host, accelerator and why, versions and sizes
//! * `settings`: T_im, T_nd, T_sw, T_rc and the way of activation that were in force
//! * `calibration`: what our machines are like, by server
//! * `rows`: the table, `our_measured` one value a run
//! * `runs`: for each, its number, how long it took, the failures, the audit's findings, and what
//!   was measured on each target (then on those that were struck after it, and on what they
//!   hosted), with the steps of its recovery and later outages that the client
//!   saw, and what kept servers waiting meanwhile; why times differ from their equations; how many targets one server managed and where backup VMs ran, stage by stage; what placement
//!   went by; T_v under load; for how long others slowed the host, and how much
//! * `good`: true when every run's function came back, its server came home and the audit is clean

use super::access::{self, Access, FLICKER, Outage, PAPERS_CLIENT};
use super::analytical::Settings;
use super::calibration::Calibration;
use super::explain::Hindrances;
use super::figures::{Measured, Row};
use super::steps::{Recovery, Steps};
use crate::experiment::audit::Finding;
use crate::experiment::site::{Facts, Slowed};
use crate::experiment::spec::{Conditions, Strike, Survey, Then, Until};
use crate::experiment::survey::UnderLoad;
use ringward::cluster::{Activation, ServerCondition};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Version of the layout.
pub const SCHEMA: u32 = 4;

/// What was done.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the module describes the schema")]
pub struct About {
    pub name: String,
    pub suite_title: String,
    pub title: String,
    pub strikes: Vec<Strike>,
    pub conditions: Conditions,
    pub survey: Option<Survey>,
    pub then: Vec<Then>,
    pub until: Until,
    pub moment_s: f64,
    pub profile: String,
    pub poll_ms: u64,
}

/// One target in one run.
#[derive(Debug, Clone, Serialize)]
pub struct TargetResult {
    /// Its name.
    pub server: String,
    /// The server that acted for it, by the logs.
    pub actor: Option<String>,
    /// Where the time went until the function was recovered, across all servers.
    pub steps: Option<Steps>,
    /// The times.
    #[serde(flatten)]
    pub measured: Measured,
    /// What kept servers waiting until the function was served again.
    pub hindrances: Hindrances,
    /// Lengths of outages after that which its recovery ended, such as one at the return home, in seconds.
    pub later_outages_s: Vec<f64>,
}

impl TargetResult {
    /// The result for `server`, struck at `struck` by the clock of the client's `accesses`, of which it made
    /// one `every` so often.
    #[must_use]
    pub fn new(
        server: &str,
        recovery: Option<Recovery>,
        accesses: &[Access],
        every: Duration,
        struck: Duration,
    ) -> Self {
        let logged = recovery.as_ref().map(|recovery| recovery.measured);
        let mut result = Self {
            server: server.to_owned(),
            steps: recovery.as_ref().map(|recovery| recovery.steps),
            actor: recovery.map(|recovery| recovery.by),
            measured: logged.unwrap_or_default(),
            hindrances: Hindrances::default(),
            later_outages_s: Vec::new(),
        };
        let served = struck + result.served_after();
        let lost = |accesses: &[Access]| -> Vec<f64> {
            let outages = access::outages(accesses, struck);
            // A function that goes down slowly fails now and then before it is gone.
            let ended = |outage: &Outage| outage.until + FLICKER >= served;
            let before = outages.iter().position(ended).unwrap_or(0);
            let outages = outages.iter().skip(before);
            outages.map(|of| of.length().as_secs_f64()).collect()
        };
        let outages = lost(accesses);
        let coarse = lost(&access::resample(accesses, every, PAPERS_CLIENT));
        result.measured.disconnection = outages.first().copied();
        result.measured.disconnection_1s = coarse.first().copied();
        result.later_outages_s = outages.into_iter().skip(1).collect();
        result
    }

    /// How long after the trouble its function was recovered; nothing if it never moved.
    #[must_use]
    pub fn served_after(&self) -> Duration {
        let served = self.steps.zip(self.measured.function);
        let seconds = served.map(|(steps, function)| steps.found + steps.taken_up + function);
        Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default()
    }
}

/// What placement went by when a backup VM was ordered (equations (1) to (9), Fig. 5).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placement {
    /// Whose function.
    pub function: String,
    /// The server that hosts its VM.
    pub host: Option<String>,
    /// The loads of all servers before the trouble, each with its non-select value for this function;
    /// the lowest comes first.
    pub servers: Vec<(ServerCondition, f64)>,
}

/// How management and backup VMs were spread (Tables 1 and 2 of the paper).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// All servers.
    pub servers: usize,
    /// Those of them that were in the group.
    pub group: usize,
    /// The most targets that one of them managed.
    pub most_targets: usize,
    /// Functions on backup VMs.
    pub moved: usize,
    /// Backup VMs that ran, by the server that ran them.
    pub vms: BTreeMap<String, Vec<String>>,
}

impl Spread {
    /// The most on one server.
    #[must_use]
    pub fn most_vms(&self) -> usize {
        self.vms.values().map(Vec::len).max().unwrap_or(0)
    }
}

/// One run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunResult {
    /// Counted from 1.
    pub number: u32,
    /// How long it took, collecting included.
    pub took_s: f64,
    /// What was awaited in vain or could not be done; empty for a good run.
    pub failures: Vec<String>,
    /// What the audit found; empty for a good run.
    pub findings: Vec<Finding>,
    /// Why times differ from their equations.
    pub explanations: Vec<String>,
    /// By target, in the experiment's order.
    pub targets: Vec<TargetResult>,
    /// How management and backup VMs were spread: before any trouble, and whenever all functions were
    /// served again.
    pub spreads: Vec<Spread>,
    /// T_v under each load, of an experiment that measured it.
    pub under_load: UnderLoad,
    /// What placement went by, by function.
    pub placements: Vec<Placement>,
    /// How others slowed the host meanwhile.
    pub slowed: Option<Slowed>,
}

impl RunResult {
    /// True when the function came back, the server came home and the audit is clean.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.findings.is_empty()
    }

    /// What is wrong with it, a line each; nothing of a good run.
    fn wrongs(&self) -> impl Iterator<Item = String> {
        let findings = self
            .findings
            .iter()
            .map(|finding| format!("audit: {finding}"));
        self.failures.iter().cloned().chain(findings)
    }
}

/// The whole experiment.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the module describes the schema")]
pub struct ExperimentResult {
    pub schema: u32,
    pub made: String,
    pub good: bool,
    pub experiment: About,
    pub circumstances: Facts,
    pub settings: Option<Settings>,
    pub activation: Option<Activation>,
    pub calibration: Calibration,
    pub rows: Vec<Row>,
    pub runs: Vec<RunResult>,
}

/// The JUnit form: one test case a run.
#[must_use]
pub fn junit<'a>(results: impl Iterator<Item = &'a ExperimentResult>) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for result in results {
        result.suite(&mut xml);
    }
    xml.push_str("</testsuites>\n");
    xml
}

impl ExperimentResult {
    fn suite(&self, xml: &mut String) {
        let name = escape(&self.experiment.name);
        let failed = self.runs.iter().filter(|run| !run.is_good()).count();
        let time: f64 = self.runs.iter().map(|run| run.took_s).sum();
        // Writing to a string cannot fail.
        let _ = writeln!(
            xml,
            "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" time=\"{time:.2}\">",
            self.runs.len()
        );
        for run in &self.runs {
            let _ = write!(
                xml,
                "  <testcase classname=\"ringward\" name=\"{name} run {}\" time=\"{:.2}\"",
                run.number, run.took_s
            );
            if run.is_good() {
                xml.push_str("/>\n");
                continue;
            }
            let all: Vec<String> = run.wrongs().collect();
            let _ = write!(
                xml,
                ">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                escape(all.first().map_or("", String::as_str)),
                escape(&all.join("\n"))
            );
        }
        xml.push_str("</testsuite>\n");
    }
}

/// How several went: what was wrong with those that are not good, last how many were. `left` were not run.
#[must_use]
pub fn outcome<'a>(results: impl Iterator<Item = &'a ExperimentResult>, left: &[String]) -> String {
    let results: Vec<_> = results.collect();
    let mut lines = Vec::new();
    for result in results.iter().filter(|result| !result.good) {
        let name = &result.experiment.name;
        for run in &result.runs {
            let said = |wrong| format!("NOT GOOD: {name}, run {}: {wrong}", run.number);
            lines.extend(run.wrongs().map(said));
        }
    }
    lines.extend(left.iter().map(|name| format!("NOT RUN: {name}")));
    let good = results.iter().filter(|result| result.good).count();
    let all = results.len() + left.len();
    lines.push(format!("{good} of {all} experiments are good."));
    lines.join("\n")
}

/// Text for XML, in attributes as well. Control characters that XML forbids become spaces.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::experiment::audit::Rule;
    use crate::experiment::spec::TroubleKind;
    use crate::report::analytical::Span;
    use crate::report::calibration::tests::calibration;

    pub(crate) fn result() -> ExperimentResult {
        let good = RunResult {
            number: 1,
            took_s: 90.5,
            failures: vec![],
            findings: vec![],
            explanations: vec![],
            targets: vec![TargetResult {
                server: "ftp".to_owned(),
                actor: Some("web1".to_owned()),
                steps: Some(Steps {
                    found: 5.0,
                    examined: 2.2,
                    started: 0.1,
                    set: 0.8,
                    ..Steps::default()
                }),
                measured: Measured {
                    function: Some(3.1),
                    ..Measured::default()
                },
                hindrances: Hindrances::default(),
                later_outages_s: vec![0.3],
            }],
            spreads: vec![Spread {
                servers: 6,
                group: 5,
                most_targets: 2,
                moved: 1,
                vms: [("login".to_owned(), vec!["ftpb".to_owned()])].into(),
            }],
            under_load: Vec::new(),
            placements: vec![Placement {
                function: "ftp".to_owned(),
                host: Some("web".to_owned()),
                servers: vec![(
                    ServerCondition {
                        name: "web".parse().unwrap(),
                        vm: 0,
                        nm: 40.0,
                        nc: 30.0,
                        nn: 50.0,
                    },
                    43.0,
                )],
            }],
            slowed: None,
        };
        let bad = RunResult {
            number: 2,
            took_s: 12.25,
            failures: vec!["function recovered: not within 60 s".to_owned()],
            findings: vec![Finding {
                rule: Rule::OneVm,
                text: "a & b <c>".to_owned(),
            }],
            ..RunResult::default()
        };
        ExperimentResult {
            schema: SCHEMA,
            made: "2026-01-02T03:04:05Z".to_owned(),
            good: false,
            experiment: About {
                name: "fig13/nt2".to_owned(),
                suite_title: "Fig. 13".to_owned(),
                title: "Shutdown".to_owned(),
                strikes: vec![Strike {
                    server: "ftp".to_owned(),
                    trouble: TroubleKind::Nt2,
                }],
                conditions: Conditions::default(),
                survey: None,
                then: Vec::new(),
                until: Until::Home,
                moment_s: 5.0,
                profile: "paper".to_owned(),
                poll_ms: 100,
            },
            circumstances: Facts::default(),
            settings: Some(Settings {
                t_im: 10.0,
                t_nd: 2.0,
                t_sw: 3.0,
                t_rc: 40.0,
            }),
            activation: Some(Activation::Standby),
            calibration: calibration(),
            rows: vec![Row {
                target: "ftp".to_owned(),
                label: "function recovery T_n2f".to_owned(),
                paper_measured: Some(7.46),
                paper_analytical: Some(Span {
                    value: 6.67,
                    plus_minus: 0.0,
                }),
                our_analytical: None,
                our_measured: vec![3.1],
            }],
            runs: vec![good, bad],
        }
    }

    /// A server that shuts down fails twice before it is gone, and once more when it comes home.
    #[test]
    fn the_outage_that_counts_is_the_one_that_the_recovery_ended() {
        let reference = Duration::from_secs(20_000 * 86_400 + 45_000);
        let log = "12:30:00.00 OK\n12:30:01.00 XX empty\n12:30:01.40 OK\n12:30:03.00 OK\n\
                   12:30:03.10 XX refused\n12:30:03.50 XX refused\n12:30:08.60 OK\n12:30:50.00 OK\n\
                   12:31:40.00 XX refused\n12:31:40.30 OK\n";
        let accesses = access::parse(log, reference);
        let recovery = Recovery {
            measured: Measured {
                function: Some(3.0),
                ..Measured::default()
            },
            steps: Steps {
                found: 5.0,
                ..Steps::default()
            },
            ..Recovery::default()
        };
        let every = Duration::from_millis(100);
        let of = |recovery| TargetResult::new("ftp", recovery, &accesses, every, accesses[0].at);
        let result = of(Some(recovery));
        assert_eq!(result.measured.disconnection, Some(5.5));
        assert_eq!(result.later_outages_s, [0.3]);
        // One that never moved had no service from the first failure on.
        assert_eq!(of(None).measured.disconnection, Some(0.4));
    }

    #[test]
    fn the_schema_stays() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&result()).unwrap());
    }

    #[test]
    fn an_outcome_ends_with_what_is_wrong() {
        let good = ExperimentResult {
            good: true,
            ..result()
        };
        let left = ["fig15/mail-web1-ftp".to_owned()];
        insta::assert_snapshot!(outcome([good, result()].iter(), &left));
        insta::assert_snapshot!(outcome(std::iter::empty(), &[]), @"0 of 0 experiments are good.");
    }

    #[test]
    fn junit_has_a_case_a_run() {
        insta::assert_snapshot!(junit(std::iter::once(&result())));
    }
}
