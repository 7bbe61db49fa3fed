//! `testbed sim`: one scenario, one seed or many, and the paper's tables.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ringward::cluster::{Profile, Topology};

use super::draw::{Frame, draw};
use super::figures;
use super::many::{self, Tally};
use super::play::play;
use super::progress::Progress;
use super::scenario::Scenario;
use super::shrink::shrink;
use super::tables;

/// What to simulate. Exit status 0 only if no rule was broken.
#[derive(Debug, clap::Args)]
pub struct SimArgs {
    /// A scenario file
    #[arg(required_unless_present_any = ["seed", "tables", "figures"])]
    pub scenario: Option<PathBuf>,
    /// Draws the scenario from this seed instead
    #[arg(long, conflicts_with = "scenario")]
    pub seed: Option<u64>,
    /// Runs so many seeds from that one on, without event logs
    #[arg(long, value_name = "COUNT", requires = "seed", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,
    /// How many servers
    #[arg(long, value_name = "N", requires = "seed", default_value_t = 6)]
    pub servers: usize,
    /// Who manages whom: ring or star
    #[arg(long, requires = "seed", default_value = "ring", value_parser = topology)]
    pub topology: Topology,
    /// Timings: paper or fast
    #[arg(long, requires = "seed", default_value = "paper")]
    pub profile: Profile,
    /// Hours of virtual time
    #[arg(long, value_name = "H", requires = "seed", default_value_t = 1.0, value_parser = hours)]
    pub hours: f64,
    /// Prints the lines that only count seconds too
    #[arg(long)]
    pub ticks: bool,
    /// Prints which rules held and no event log; events per second go to stderr
    #[arg(long)]
    pub audit: bool,
    /// Prints the scenario that the seed draws and runs nothing
    #[arg(long, requires = "seed", conflicts_with = "seeds")]
    pub show: bool,
    /// Measures the paper's Tables 1 and 2, ring against star, and what managing costs each server
    #[arg(long, conflicts_with_all = ["scenario", "seed", "audit", "ticks"])]
    pub tables: bool,
    /// With --tables: for up to so many target servers
    #[arg(long, value_name = "N", requires = "tables", default_value_t = 1000, value_parser = most)]
    pub most: usize,
    /// With --tables: writes tables.txt and growth.svg there too
    #[arg(long, value_name = "DIR", requires = "tables")]
    pub out: Option<PathBuf>,
    /// Plays the paper's Figs. 13 to 15 with its Table 3, beside its measurements and equations
    #[arg(long, conflicts_with_all = ["scenario", "seed", "audit", "ticks", "tables"])]
    pub figures: bool,
}

fn most(text: &str) -> Result<usize, String> {
    let most = tables::MOST;
    match text.parse() {
        Ok(n) if (2..=most).contains(&n) => Ok(n),
        _ => Err(format!(
            "{text:?}: expected target servers, from 2 to {most}"
        )),
    }
}

fn topology(text: &str) -> Result<Topology, String> {
    match text {
        "ring" => Ok(Topology::Ring),
        "star" => Ok(Topology::Star),
        _ => Err(format!("{text:?} is no topology (ring or star)")),
    }
}

fn hours(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(hours) if (0.1..=720.0).contains(&hours) => Ok(hours),
        _ => Err(format!("{text:?}: expected hours from 0.1 to 720")),
    }
}

/// Simulates what `args` ask for. Returns whether all was clean.
///
/// # Errors
/// Files that cannot be read, scenarios that cannot be, output that cannot be written.
pub fn run(args: &SimArgs) -> anyhow::Result<bool> {
    if args.tables {
        return measure(args);
    }
    if args.figures {
        say(&figures::play()?.text())?;
        return Ok(true);
    }
    let Some(seed) = args.seed else {
        let path = args.scenario.as_deref().context("no scenario given")?;
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| file.clone())?;
        let scenario = Scenario::parse(&file, &text)?;
        return one(args, &scenario);
    };
    let frame = Frame {
        servers: args.servers,
        topology: args.topology,
        profile: args.profile,
        hours: args.hours,
    };
    let scenario = draw(seed, &frame);
    match args.seeds {
        _ if args.show => {
            say(&scenario.to_toml()?)?;
            Ok(true)
        }
        None => one(args, &scenario),
        Some(count) => many(seed, count, &frame),
    }
}

/// Measures the tables, prints them and writes them where they are wanted.
fn measure(args: &SimArgs) -> anyhow::Result<bool> {
    if let Some(out) = &args.out {
        // Before the long work, not after it.
        std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    }
    let progress = Progress::begin();
    let tables = tables::measure(args.most, |text| progress.tell(text))?;
    progress.end();
    let text = tables.text();
    if let Some(out) = &args.out {
        for (name, content) in [("tables.txt", &text), ("growth.svg", &tables.picture())] {
            let path = out.join(name);
            std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        }
    }
    say(&text)?;
    Ok(true)
}

fn one(args: &SimArgs, scenario: &Scenario) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let outcome = play(scenario, !args.audit)?;
    if args.audit {
        let tally = Tally {
            seeds: 1,
            steps: outcome.steps,
            ..Tally::default()
        };
        eprintln!("{}", speed(&tally, 1, begun.elapsed()));
    }
    say(&outcome.report(args.ticks))?;
    if let (false, Some(seed)) = (outcome.is_clean(), args.seed) {
        let frame = Frame {
            servers: args.servers,
            topology: args.topology,
            profile: args.profile,
            hours: args.hours,
        };
        say(&format!("\nRepeat it with: {}\n", command(seed, &frame)))?;
        eprintln!("Looking for fewer faults that do the same ...");
        let small = shrink(scenario, &outcome)?;
        let (few, many) = (small.faults.len(), scenario.faults.len());
        say(&format!(
            "{few} of {many} faults suffice:\n\n{}",
            small.to_toml()?
        ))?;
    }
    Ok(outcome.is_clean())
}

fn many(first: u64, count: u64, frame: &Frame) -> anyhow::Result<bool> {
    let progress = Progress::begin();
    let mut last = (Tally::default(), Duration::ZERO);
    let tally = many::run(first, count, frame, |tally, took| {
        last = (*tally, took);
        progress.tell(&speed(tally, count, took));
    })?;
    progress.end();
    say(&format!("{}\n", speed(&tally, count, last.1)))?;
    say(&format!(
        "longest time without an owner that could have been: {:.1} s\n",
        tally.longest.as_secs_f64()
    ))?;
    let Some(failed) = tally.failed else {
        return Ok(true);
    };
    let scenario = draw(failed, frame);
    let outcome = play(&scenario, false)?;
    say(&outcome.report(false))?;
    say(&format!("\nRepeat it with: {}\n", command(failed, frame)))?;
    let small = shrink(&scenario, &outcome)?;
    let (few, all) = (small.faults.len(), scenario.faults.len());
    say(&format!(
        "{few} of {all} faults suffice:\n\n{}",
        small.to_toml()?
    ))?;
    Ok(false)
}

/// How far it got and how fast.
fn speed(tally: &Tally, count: u64, took: Duration) -> String {
    // Only for people: what is lost in the conversion does not matter.
    let per_second = tally.steps as f64 / took.as_secs_f64().max(0.001);
    format!(
        "{} of {count} seeds, {} events in {:.1} s, {per_second:.0} events/s",
        tally.seeds,
        tally.steps,
        took.as_secs_f64()
    )
}

/// The command that repeats a seed.
fn command(seed: u64, frame: &Frame) -> String {
    let topology = match frame.topology {
        Topology::Ring => "ring",
        Topology::Star => "star",
    };
    format!(
        "testbed sim --seed {seed} --servers {} --topology {topology} --profile {} --hours {}",
        frame.servers, frame.profile, frame.hours
    )
}

fn say(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who reads no further wants no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
