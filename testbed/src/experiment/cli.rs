//! `testbed run`: which experiments, how often, and where to.

use super::calibrate::{self, Needs};
use super::catalogue;
use super::progress;
use super::rundir::RunDir;
use super::session::{self, Finished, Order};
use super::site::Site;
use super::spec::Experiment;
use crate::report::table::Style;
use anyhow::bail;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Where experiments are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// Emulated machines.
    #[default]
    Lab,
    /// The simulator, in virtual time, with machines like the paper's; each experiment once, since
    /// it would go the same way again.
    Sim,
}

/// Runs experiments and lays their figures beside the paper's.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Experiments (fig14), cases of them (fig14/st2-nt1), all (paper), or files that end in .toml.
    pub names: Vec<String>,
    /// Lists the experiments.
    #[arg(long)]
    pub list: bool,
    /// Where.
    #[arg(long, value_enum, default_value_t)]
    pub on: On,
    /// Runs each experiment this many times instead of as often as its file says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: Option<u32>,
    /// Directory for everything about the run; new or empty. With several cases it gets one folder
    /// for each. [default: runs/NAME-TIME]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Leaves the machines running when an experiment fails.
    #[arg(long)]
    pub keep: bool,
    /// Uses no saved lab: boots and prepares everything anew.
    #[arg(long)]
    pub fresh: bool,
}

/// Runs what `args` ask for. `open` gives the place to run on; it is only called when everything
/// else is in order. Returns whether all experiments were good.
///
/// # Errors
/// Unknown names, malformed files, run directories in use; what `open` says; reports that cannot
/// be written.
pub fn run(
    args: &RunArgs,
    servers: &[&str],
    open: impl FnOnce() -> anyhow::Result<Box<dyn Site>>,
) -> anyhow::Result<bool> {
    if args.list {
        print!("{}", list(servers)?);
        return Ok(true);
    }
    let of_lab = args.keep || args.fresh || args.repeats.is_some();
    if args.on == On::Sim && of_lab {
        bail!("--repeats, --keep and --fresh are of the lab: leave them out with --on sim");
    }
    if args.names.is_empty() {
        bail!("no experiment given; there are:\n{}", list(servers)?);
    }
    let mut experiments: Vec<Experiment> = Vec::new();
    for name in &args.names {
        for experiment in catalogue::find(name, servers)? {
            if experiments.iter().any(|e| e.name() == experiment.name()) {
                bail!("{} is given twice; use --repeats", experiment.name());
            }
            experiments.push(experiment);
        }
    }
    let mut skipped = Vec::new();
    if args.on == On::Sim {
        skipped = survey_names(&experiments);
        experiments.retain(|experiment| experiment.survey.is_none());
        if experiments.is_empty() {
            bail!(
                "{} measures machines, and the simulator has none: leave out --on sim",
                skipped.join(", ")
            );
        }
    }
    let now = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let root = root(args, &now);
    RunDir::check(&root)?;

    let mut site = match args.on {
        On::Lab => Some(open()?),
        On::Sim => None,
    };
    let mut whole = RunDir::create(&root)?;
    let several = experiments.len() > 1;
    let mut progress = progress::for_stderr();
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colour { Style::Colour } else { Style::Plain };
    if !skipped.is_empty() {
        let skipped = skipped.join(", ");
        progress.print(&format!("left out, for they measure machines: {skipped}"));
    }
    let mut done: Vec<Finished> = Vec::new();
    let mut outcome = Ok(());
    for (index, experiment) in experiments.iter().enumerate() {
        let order = Order {
            repeats: args.repeats.unwrap_or(experiment.repeats),
            fresh: args.fresh && index == 0,
            // Once for all: what could not be measured is not tried again with each of them.
            needs: match index {
                0 => calibrate::needs(&experiments, servers),
                _ => Needs::default(),
            },
            style,
        };
        if several {
            let left = experiments.len() - index - 1;
            let name = experiment.name();
            progress.print(&format!(
                "{name}: {} of {}, {left} left",
                index + 1,
                experiments.len()
            ));
        }
        let mut carry_out = |dir: &mut RunDir| match &mut site {
            Some(site) => session::run(site.as_mut(), progress.as_mut(), experiment, &order, dir),
            None => session::simulate(servers, progress.as_mut(), experiment, style, dir),
        };
        let finished = if several {
            let dir = RunDir::create(&root.join(experiment.name()));
            dir.map_err(anyhow::Error::from).and_then(|mut dir| {
                let finished = carry_out(&mut dir)?;
                dir.explain(&finished.head())?;
                Ok(finished)
            })
        } else {
            carry_out(&mut whole)
        };
        match finished {
            Ok(finished) => done.push(finished),
            Err(error) => outcome = Err(error),
        }
        let bad = done.last().is_some_and(|finished| !finished.result.good);
        let interrupted = match &site {
            Some(site) => site.sleep(std::time::Duration::ZERO).is_err(),
            None => false,
        };
        let stop = outcome.is_err() || interrupted;
        if stop || (args.keep && bad) {
            break;
        }
    }
    let good = done.len() == experiments.len() && done.iter().all(|f| f.result.good);
    let reported = session::conclude(&done, &experiments, several, progress.as_mut(), &mut whole);
    let keep = args.keep && (!good || outcome.is_err());
    let finished = site.map_or(Ok(()), |mut site| site.finish(keep));
    progress.print(&format!("Everything about it: {}", root.display()));
    outcome.and(reported).and(finished).map(|()| good)
}

/// Those that measure machines at rest.
fn survey_names(experiments: &[Experiment]) -> Vec<String> {
    let surveys = experiments.iter().filter(|e| e.survey.is_some());
    surveys.map(Experiment::name).collect()
}

/// Where everything goes.
fn root(args: &RunArgs, now: &str) -> PathBuf {
    let name = |name: &String| {
        let stem = Path::new(name).file_stem().unwrap_or_default();
        let path = if name.ends_with(".toml") {
            stem.to_string_lossy()
        } else {
            name.into()
        };
        path.replace('/', "-")
    };
    let names: Vec<String> = args.names.iter().map(name).collect();
    let run = || PathBuf::from("runs").join(format!("{}-{now}", names.join("-")));
    args.out.clone().unwrap_or_else(run)
}

/// One line an experiment.
fn list(servers: &[&str]) -> anyhow::Result<String> {
    let experiments = catalogue::all(servers)?;
    let names: Vec<String> = experiments.iter().map(Experiment::name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    let mut suite = "";
    for (experiment, name) in experiments.iter().zip(&names) {
        if experiment.suite != suite {
            suite = &experiment.suite;
            text += &format!("{suite:width$}  {}\n", experiment.suite_title);
        }
        text += &format!("{name:width$}  {}\n", experiment.title);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(names: &[&str]) -> RunArgs {
        RunArgs {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            list: false,
            on: On::Lab,
            repeats: None,
            out: None,
            keep: false,
            fresh: false,
        }
    }

    fn error(args: &RunArgs) -> String {
        let closed = || -> anyhow::Result<Box<dyn Site>> { bail!("opened") };
        format!(
            "{:#}",
            run(args, &catalogue::tests::SERVERS, closed).unwrap_err()
        )
    }

    #[test]
    fn mistakes_are_found_before_anything_is_started() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        assert!(error(&args(&[])).starts_with("no experiment given; there are:\ntable3  "));
        assert!(
            error(&args(&["nt2", "nt7"])).contains("known are paper, fig12, table1, table3, fig13")
        );
        let out = Some(dir.path().to_owned());
        let used = error(&RunArgs {
            out: out.clone(),
            ..args(&["nt2"])
        });
        assert!(used.contains("exists and is not empty"), "{used}");
        let kept = error(&RunArgs {
            on: On::Sim,
            keep: true,
            ..args(&["nt2"])
        });
        assert!(kept.contains("leave them out with --on sim"), "{kept}");
        let twice = error(&args(&["nt2", "fig13"]));
        assert!(twice.contains("given twice"), "{twice}");
        let new = dir.path().join("new");
        let opened = error(&RunArgs {
            out: Some(new.clone()),
            ..args(&["nt2"])
        });
        assert_eq!(opened, "opened");
        assert!(!new.exists());
    }

    #[test]
    fn the_run_directory_is_named_after_what_was_asked_for() {
        let root = |names: &[&str]| root(&args(names), "T");
        assert_eq!(root(&["nt2"]), Path::new("runs/nt2-T"));
        assert_eq!(
            root(&["fig13", "fig14/st2-nt1"]),
            Path::new("runs/fig13-fig14-st2-nt1-T")
        );
        assert_eq!(root(&["my/own.toml"]), Path::new("runs/own-T"));
    }
}
