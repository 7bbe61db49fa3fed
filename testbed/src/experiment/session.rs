//! One experiment from its data to its report: all repeats, the table, the files.

use super::calibrate;
use super::judge::{self, Judged};
use super::plan;
use super::progress::Progress;
use super::rundir::RunDir;
use super::runner::Run;
use super::site::Site;
use super::spec::{Experiment, Until};
use crate::report::calibration::Calibration;
use crate::report::figures::{self, Measured};
use crate::report::html;
use crate::report::paper::Paper;
use crate::report::result::{self, About, ExperimentResult, RunResult, SCHEMA};
use crate::report::table::{self, Style};
use anyhow::Context;
use ringward::cluster::{Settings, Timings};

/// How an experiment is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// How many times.
    pub repeats: u32,
    /// Nothing saved may be used for the first run.
    pub fresh: bool,
    /// How the table may look.
    pub style: Style,
}

/// An experiment that was run.
#[derive(Debug)]
pub struct Finished {
    /// Its outcome.
    pub result: ExperimentResult,
    /// A picture a run, as SVG; none of a run that ended before the trouble.
    pub pictures: Vec<Option<String>>,
}

/// Runs `experiment` and writes its report into `dir`.
///
/// # Errors
/// When the report itself cannot be written. A run that fails is part of the report.
pub fn run(
    site: &mut dyn Site,
    progress: &mut dyn Progress,
    experiment: &Experiment,
    order: Order,
    dir: &mut RunDir,
) -> anyhow::Result<Finished> {
    let made = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let mut runs: Vec<RunResult> = Vec::new();
    let mut pictures = Vec::new();
    let mut settings = None;
    for number in 1..=order.repeats {
        let calibration = known(site);
        let began = site.now();
        let folder = format!("run-{number}");
        let mut run = Run::new(site, progress, experiment, &calibration);
        run.carry_out(order.fresh && number == 1, dir, &folder);
        let judged = judge::judge(&run, experiment, number, dir, &folder, began);
        settings = run.settings.take().or(settings);
        write_picture(&judged, dir, &folder)?;
        runs.push(judged.result);
        pictures.push(judged.picture);
        // An interruption ends the session, with the report of what there is.
        if site.sleep(std::time::Duration::ZERO).is_err() {
            break;
        }
    }
    let result = report(site, experiment, settings.as_ref(), runs, made)?;
    let text = text(&result, experiment, settings.as_ref(), order.style);
    dir.write(
        "result.json",
        "the outcome for programs",
        serde_json::to_string_pretty(&result)?,
    )?;
    let plain = self::text(&result, experiment, settings.as_ref(), Style::Plain);
    dir.write("table.txt", "the outcome for people", plain)?;
    progress.print(&text);
    dir.explain(&format!(
        "Experiment {}: {}, {}",
        experiment.name(),
        experiment.title,
        result.made
    ))?;
    Ok(Finished { result, pictures })
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
    }
    let names: Vec<String> = asked.iter().map(Experiment::name).collect();
    dir.explain(&format!("Experiments {}", names.join(", ")))?;
    Ok(())
}

/// The calibration as far as it can be read. One that cannot fails the run, which says so; there is a
/// report all the same.
fn known(site: &dyn Site) -> Calibration {
    calibrate::kept(site).unwrap_or_default()
}

fn write_picture(judged: &Judged, dir: &mut RunDir, folder: &str) -> anyhow::Result<()> {
    if let Some(owners) = &judged.owners {
        let about = "who answered for each VIP, and when, by the LAN capture";
        dir.write(
            &format!("{folder}/owners.json"),
            about,
            serde_json::to_string_pretty(owners)?,
        )?;
    }
    if let Some(picture) = &judged.picture {
        dir.write(
            &format!("{folder}/timeline.svg"),
            "the run as a picture",
            picture,
        )?;
    }
    Ok(())
}

fn report(
    site: &dyn Site,
    experiment: &Experiment,
    settings: Option<&Settings>,
    runs: Vec<RunResult>,
    made: String,
) -> anyhow::Result<ExperimentResult> {
    let paper = Paper::load().context("reading the paper's figures")?;
    let calibration = known(site);
    let timings = settings.map_or_else(
        || Timings::profile(experiment.profile),
        |s| s.timings.clone(),
    );
    let activation = settings.map(|s| s.activation).unwrap_or_default();
    let in_force = plan::settings(&timings);
    let measured: Vec<Vec<Measured>> = runs
        .iter()
        .map(|run| run.targets.iter().map(|target| target.measured).collect())
        .collect();
    let rows = figures::rows(
        experiment,
        &paper,
        in_force,
        &calibration,
        activation,
        &measured,
    );
    Ok(ExperimentResult {
        schema: SCHEMA,
        made,
        good: !runs.is_empty() && runs.iter().all(RunResult::is_good),
        experiment: About {
            name: experiment.name(),
            suite_title: experiment.suite_title.clone(),
            title: experiment.title.clone(),
            strikes: experiment.strikes.clone(),
            until: experiment.until,
            moment_s: experiment.moment.after_s(timings.t_im).as_secs_f64(),
            profile: experiment.profile.to_string(),
            poll_ms: u64::try_from(experiment.poll.as_millis()).unwrap_or(u64::MAX),
        },
        circumstances: site.facts(),
        settings: settings.map(|_| in_force),
        activation: settings.map(|s| s.activation),
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
    style: Style,
) -> String {
    let mut notes = Vec::new();
    if let (Some(s), Some(way)) = (result.settings, result.activation) {
        let way = format!("{way:?}").to_lowercase();
        notes.push(format!(
            "Settings: T_im {}, T_nd {}, T_sw {}, T_rc {}; backup VMs activated by {way}.",
            s.t_im, s.t_nd, s.t_sw, s.t_rc
        ));
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
    if !result.circumstances.accelerator.is_empty() {
        notes.push(format!(
            "Machines run under {}.",
            result.circumstances.accelerator
        ));
    }
    for run in &result.runs {
        let run_name = format!("Run {}", run.number);
        notes.extend(
            run.failures
                .iter()
                .map(|text| format!("{run_name} failed: {text}")),
        );
        notes.extend(
            run.findings
                .iter()
                .map(|finding| format!("{run_name}, audit: {finding}")),
        );
    }
    notes.push(if result.good {
        match experiment.until {
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
