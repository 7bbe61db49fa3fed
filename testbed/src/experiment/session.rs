//! One experiment from its data to its report: all repeats, the table, the files.

use super::calibrate::{self, Needs};
use super::conditions;
use super::judge;
use super::plan;
use super::progress::Progress;
use super::rundir::RunDir;
use super::runner::Run;
use super::site::{Facts, Site};
use super::spec::{Experiment, Survey, Until};
use crate::report::analytical::Parameters;
use crate::report::calibration::Calibration;
use crate::report::explain::explain;
use crate::report::figures::{self, Measured};
use crate::report::html;
use crate::report::logs::Exhibit;
use crate::report::paper::Paper;
use crate::report::result::{self, About, ExperimentResult, RunResult, SCHEMA};
use crate::report::survey;
use crate::report::table::{self, Style};
use crate::sim;
use anyhow::Context;
use ringward::cluster::{Settings, Timings};

/// How an experiment is to be run.
#[derive(Debug, Clone)]
pub struct Order {
    /// How many times.
    pub repeats: u32,
    /// Nothing saved may be used for the first run.
    pub fresh: bool,
    /// What must be known of the machines, for this experiment or for all that follow.
    pub needs: Needs,
    /// How the table may look.
    pub style: Style,
}

/// An experiment that was run.
#[derive(Debug)]
pub struct Finished {
    /// Its outcome.
    pub result: ExperimentResult,
    /// What shows each run; nothing of one that ended before the trouble.
    pub exhibits: Vec<Option<Exhibit>>,
}

/// What a report is made of.
#[derive(Debug, Default)]
pub struct Material {
    /// The settings that were in force, once they were read.
    pub settings: Option<Settings>,
    /// What the machines are like.
    pub calibration: Calibration,
    /// Circumstances.
    pub facts: Facts,
    /// All runs.
    pub runs: Vec<RunResult>,
    /// What shows each run; nothing of one that ended before the trouble.
    pub exhibits: Vec<Option<Exhibit>>,
}

impl Finished {
    /// The head of the file that explains the run directory.
    #[must_use]
    pub fn head(&self) -> String {
        let about = &self.result.experiment;
        let (name, title) = (&about.name, &about.title);
        format!("Experiment {name}: {title}, {}", self.result.made)
    }
}

/// Runs `experiment` on a site and writes its report into `dir`.
///
/// # Errors
/// When the report itself cannot be written. A run that fails is part of the report.
pub fn run(
    site: &mut dyn Site,
    progress: &mut dyn Progress,
    experiment: &Experiment,
    order: &Order,
    dir: &mut RunDir,
) -> anyhow::Result<Finished> {
    let made = now();
    let mut material = Material::default();
    for number in 1..=order.repeats {
        let calibration = known(site);
        let began = site.now();
        let folder = format!("run-{number}");
        let mut run = Run::new(site, progress, experiment, &calibration);
        run.carry_out(order.fresh && number == 1, &order.needs, dir, &folder);
        let judged = judge::judge(&run, experiment, number, dir, &folder, began);
        material.settings = run.settings.take().or(material.settings);
        if let Some(owners) = &judged.owners {
            let about = "who answered for each VIP, and when, by the LAN capture";
            let text = serde_json::to_string_pretty(owners)?;
            dir.write(&format!("{folder}/owners.json"), about, text)?;
        }
        material.runs.push(judged.result);
        material.exhibits.push(judged.exhibit);
        // An interruption ends the session, with the report of what there is.
        if site.sleep(std::time::Duration::ZERO).is_err() {
            break;
        }
    }
    material.calibration = known(site);
    material.facts = site.facts();
    write(experiment, material, made, order.style, progress, dir)
}

/// Plays `experiment` in the simulator, on a ring of these servers, and writes its report into `dir`.
///
/// # Errors
/// As those of [`run`].
pub fn simulate(
    ring: &[&str],
    progress: &mut dyn Progress,
    experiment: &Experiment,
    style: Style,
    dir: &mut RunDir,
) -> anyhow::Result<Finished> {
    let made = now();
    let material = sim::experiment::play(experiment, ring)?;
    write(experiment, material, made, style, progress, dir)
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Writes the report of one experiment.
fn write(
    experiment: &Experiment,
    mut material: Material,
    made: String,
    style: Style,
    progress: &mut dyn Progress,
    dir: &mut RunDir,
) -> anyhow::Result<Finished> {
    let exhibits = std::mem::take(&mut material.exhibits);
    for (number, exhibit) in exhibits.iter().enumerate() {
        if let Some(Exhibit { picture, .. }) = exhibit {
            let name = format!("run-{}/timeline.svg", number + 1);
            dir.write(&name, "the run as a picture", picture)?;
        }
    }
    let settings = material.settings.clone();
    let paper = Paper::load().context("reading the paper's figures")?;
    let result = report(experiment, material, &paper, made)?;
    let text = |style| self::text(&result, experiment, settings.as_ref(), &paper, style);
    let json = serde_json::to_string_pretty(&result)?;
    dir.write("result.json", "the outcome for programs", json)?;
    dir.write("table.txt", "the outcome for people", text(Style::Plain))?;
    progress.print(&text(style));
    Ok(Finished { result, exhibits })
}

/// Writes the report on all that was run, into the directory around the experiments' own or, of
/// one experiment, into its own. What was not run for an interruption is said there.
///
/// # Errors
/// When it cannot be written.
pub fn conclude(
    done: &[Finished],
    asked: &[Experiment],
    several: bool,
    progress: &mut dyn Progress,
    dir: &mut RunDir,
) -> anyhow::Result<()> {
    let paper = Paper::load().context("reading the paper's figures")?;
    let ran = |e: &&Experiment| !done.iter().any(|f| f.result.experiment.name == e.name());
    let left: Vec<String> = asked.iter().filter(ran).map(Experiment::name).collect();
    dir.write(
        "report.html",
        "everything on one page",
        html::page(done, &left, &paper),
    )?;
    let results = || done.iter().map(|finished| &finished.result);
    dir.write(
        "junit.xml",
        "the outcome for continuous integration",
        result::junit(results()),
    )?;
    if several {
        let all: Vec<&ExperimentResult> = results().collect();
        let text = serde_json::to_string_pretty(&all)?;
        dir.write("results.json", "the outcomes for programs", text)?;
        progress.print(&result::outcome(results(), &left));
    }
    let names: Vec<String> = asked.iter().map(Experiment::name).collect();
    let head = match done {
        [only] if !several => only.head(),
        _ => format!(
            "Experiments, each in the folder of its name: {}",
            names.join(", ")
        ),
    };
    dir.explain(&head)?;
    Ok(())
}

/// The calibration as far as it can be read. One that cannot fails the run, which says so; there is a
/// report all the same.
fn known(site: &dyn Site) -> Calibration {
    calibrate::kept(site).unwrap_or_default()
}

fn report(
    experiment: &Experiment,
    material: Material,
    paper: &Paper,
    made: String,
) -> anyhow::Result<ExperimentResult> {
    let Material {
        settings,
        calibration,
        facts,
        runs,
        exhibits: _,
    } = material;
    let mut runs = runs;
    let timings = settings.as_ref().map_or_else(
        || Timings::profile(experiment.profile),
        |s| s.timings.clone(),
    );
    let activation = settings.as_ref().map(|s| s.activation);
    let in_force = plan::settings(&timings);
    let moment = experiment.moment.after_s(timings.t_im).as_secs_f64();
    for run in &mut runs {
        let struck = experiment.strikes.iter().zip(&run.targets);
        let why = struck.flat_map(|(strike, target)| {
            let way = activation.unwrap_or_default();
            let p = Parameters {
                settings: in_force,
                characteristics: calibration.characteristics(
                    &strike.server,
                    way,
                    target.measured.activation,
                ),
            };
            explain(strike, target, &p, moment)
        });
        run.explanations = why.collect();
    }
    let measured: Vec<Vec<Measured>> = runs
        .iter()
        .map(|run| run.targets.iter().map(|target| target.measured).collect())
        .collect();
    let mut rows = figures::rows(
        experiment,
        paper,
        in_force,
        &calibration,
        activation.unwrap_or_default(),
        &measured,
    );
    rows.extend(figures::rows_then(experiment, &measured));
    match &experiment.survey {
        Some(Survey::Machines) => rows.extend(survey::machines(paper, &calibration)),
        Some(Survey::Activation { of, on, .. }) => {
            rows.extend(survey::under_load(paper, of, on, &runs));
        }
        None => {}
    }
    Ok(ExperimentResult {
        schema: SCHEMA,
        made,
        good: !runs.is_empty() && runs.iter().all(RunResult::is_good),
        experiment: About {
            name: experiment.name(),
            suite_title: experiment.suite_title.clone(),
            title: experiment.title.clone(),
            conditions: experiment.conditions.clone(),
            survey: experiment.survey.clone(),
            strikes: experiment.strikes.clone(),
            then: experiment.then.clone(),
            until: experiment.until,
            moment_s: moment,
            profile: experiment.profile.to_string(),
            poll_ms: u64::try_from(experiment.poll.as_millis()).unwrap_or(u64::MAX),
        },
        circumstances: facts,
        settings: settings.is_some().then_some(in_force),
        activation,
        calibration,
        rows,
        runs,
    })
}

/// The table with what it stands on and the verdict.
fn text(
    result: &ExperimentResult,
    experiment: &Experiment,
    settings: Option<&Settings>,
    paper: &Paper,
    style: Style,
) -> String {
    let mut notes = Vec::new();
    if let (Some(s), Some(way)) = (result.settings, result.activation) {
        let way = format!("{way:?}").to_lowercase();
        notes.push(format!(
            "Settings: T_im {}, T_nd {}, T_sw {}, T_rc {}; backup VMs activated by {way}.",
            s.t_im, s.t_nd, s.t_sw, s.t_rc
        ));
        notes.extend(result.calibration.stretched(paper));
    }
    for target in &experiment.targets() {
        let way = settings.map(|s| s.activation).unwrap_or_default();
        let c = result.calibration.characteristics(target, way, None);
        let known = [
            ("T_ts", c.t_ts),
            ("T_tr", c.t_tr),
            ("T_se", c.t_se),
            ("T_v", c.t_v),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| format!("{name} {value:.2}"))
        .collect::<Vec<_>>()
        .join(", ");
        notes.push(match known.as_str() {
            "" => format!("Our {target} was not measured beforehand; see --fresh."),
            known => format!("Our {target}, measured beforehand: {known}."),
        });
    }
    if let Some(stress) = conditions::stress(&experiment.conditions) {
        notes.push(format!("With {stress}."));
    }
    if !result.circumstances.accelerator.is_empty() {
        notes.push(format!(
            "Machines run under {}.",
            result.circumstances.accelerator
        ));
    }
    for run in &result.runs {
        let run_name = format!("Run {}", run.number);
        notes.extend(run.slowed.map(|slowed| format!("{run_name}: {slowed}")));
        notes.extend(
            run.failures
                .iter()
                .map(|text| format!("{run_name} failed: {text}")),
        );
        notes.extend(
            run.explanations
                .iter()
                .map(|text| format!("{run_name}, {text}")),
        );
        notes.extend(
            run.findings
                .iter()
                .map(|finding| format!("{run_name}, audit: {finding}")),
        );
    }
    notes.push(if result.good {
        match experiment.until {
            _ if experiment.survey.is_some() => "GOOD: everything was measured.",
            Until::Home => {
                "GOOD: the function came back, the server came home, the audit is clean."
            }
            Until::Function => "GOOD: the functions came back, the audit is clean.",
        }
        .to_owned()
    } else {
        "NOT GOOD: see above.".to_owned()
    });
    table::draw(&experiment.title, &result.rows, &notes, style)
}
