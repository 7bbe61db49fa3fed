//! `testbed run`: which experiments, how often, and where to.

use super::catalogue;
use super::progress;
use super::rundir::RunDir;
use super::session::{self, Order};
use super::site::Site;
use super::spec::Experiment;
use crate::report::table::Style;
use anyhow::bail;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Runs experiments and lays their figures beside the paper's.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Names of experiments, or paths of experiment files that end in .toml.
    pub names: Vec<String>,
    /// Lists the experiments.
    #[arg(long)]
    pub list: bool,
    /// Runs each experiment this many times instead of as often as its file says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: Option<u32>,
    /// Directory for everything about the run; new or empty. With several experiments it gets one
    /// folder for each. [default: runs/NAME-TIME]
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
    if args.names.is_empty() {
        bail!("no experiment given; there are:\n{}", list(servers)?);
    }
    let experiments: Vec<Experiment> = args
        .names
        .iter()
        .map(|name| Ok(catalogue::find(name, servers)?))
        .collect::<anyhow::Result<_>>()?;
    let now = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let places = experiments
        .iter()
        .enumerate()
        .map(|(index, experiment)| {
            let twice = experiments[..index]
                .iter()
                .any(|e| e.name == experiment.name);
            if twice {
                bail!("{} is given twice; use --repeats", experiment.name);
            }
            let place = place(
                args.out.as_deref(),
                &experiment.name,
                experiments.len(),
                &now,
            );
            RunDir::check(&place)?;
            Ok(place)
        })
        .collect::<anyhow::Result<Vec<PathBuf>>>()?;

    let mut site = open()?;
    let mut dirs = places
        .iter()
        .map(|place| RunDir::create(place))
        .collect::<Result<Vec<_>, _>>()?;
    let mut progress = progress::for_stderr();
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = if colour { Style::Colour } else { Style::Plain };
    let mut good = true;
    let mut outcome = Ok(());
    for (index, (experiment, dir)) in experiments.iter().zip(&mut dirs).enumerate() {
        let repeats = args.repeats.unwrap_or(experiment.repeats);
        let order = Order {
            repeats,
            fresh: args.fresh && index == 0,
            style,
        };
        match session::run(site.as_mut(), progress.as_mut(), experiment, order, dir) {
            Ok(ended_well) => good &= ended_well,
            Err(error) => outcome = Err(error),
        }
        let stop = outcome.is_err() || site.sleep(std::time::Duration::ZERO).is_err();
        if stop || (args.keep && !good) {
            break;
        }
    }
    let finished = site.finish(args.keep && (!good || outcome.is_err()));
    outcome.and(finished).map(|()| good)
}

/// Where an experiment's run directory is.
fn place(out: Option<&Path>, name: &str, of: usize, now: &str) -> PathBuf {
    match out {
        Some(out) if of == 1 => out.to_owned(),
        Some(out) => out.join(name),
        None => PathBuf::from("runs").join(format!("{name}-{now}")),
    }
}

/// One line an experiment.
fn list(servers: &[&str]) -> anyhow::Result<String> {
    let experiments = catalogue::all(servers)?;
    let width = experiments.iter().map(|e| e.name.len()).max().unwrap_or(0);
    Ok(experiments
        .iter()
        .map(|e| format!("{:width$}  {}\n", e.name, e.title))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(names: &[&str]) -> RunArgs {
        RunArgs {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            list: false,
            repeats: None,
            out: None,
            keep: false,
            fresh: false,
        }
    }

    fn error(args: &RunArgs) -> String {
        let closed = || -> anyhow::Result<Box<dyn Site>> { bail!("opened") };
        format!("{:#}", run(args, &["ftp"], closed).unwrap_err())
    }

    #[test]
    fn mistakes_are_found_before_anything_is_started() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        assert!(error(&args(&[])).starts_with("no experiment given; there are:\nst1  Service"));
        assert!(error(&args(&["nt2", "nt7"])).contains("known are st1, nt2"));
        let out = Some(dir.path().to_owned());
        let used = error(&RunArgs {
            out: out.clone(),
            ..args(&["nt2"])
        });
        assert!(used.contains("exists and is not empty"), "{used}");
        let twice = error(&RunArgs {
            out,
            ..args(&["nt2", "nt2"])
        });
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
    fn every_experiment_has_a_place_of_its_own() {
        let out = Path::new("o");
        assert_eq!(place(Some(out), "nt2", 1, "T"), Path::new("o"));
        assert_eq!(place(Some(out), "nt2", 2, "T"), Path::new("o/nt2"));
        assert_eq!(place(None, "nt2", 2, "T"), Path::new("runs/nt2-T"));
    }
}
