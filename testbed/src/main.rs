//! Command line of the testbed.

#![allow(
    clippy::format_collect,
    reason = "the texts are short, and it reads well"
)]

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use testbed::experiment::cli::{self as experiments, On, RunArgs};
use testbed::experiment::site::Site;
use testbed::lab::cli::{self as lab, LabCommand};
use testbed::lab::onsite::{LabSite, SiteArgs};
use testbed::lab::{cancel::Cancel, network};
use testbed::sim::cli::{self as simulator, SimArgs};

/// A whole ring under QEMU or in virtual time, and the experiments of the paper on it
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// What the lab is made of, as the flake's package `lab` has it; else RINGWARD_LAB names it
    #[arg(long, global = true, value_name = "FILE")]
    lab: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run experiments and lay their figures beside the paper's
    Run {
        #[command(flatten)]
        run: RunArgs,
        #[command(flatten)]
        site: SiteArgs,
    },
    /// List the experiments
    List,
    /// Simulate a cluster under faults in virtual time, with the agent's own decisions
    ///
    /// Prints the event log (time, server, event; what befalls the cluster has a star) and which
    /// rules of safety held. A seed that fails prints the command that repeats it and the faults
    /// that suffice, as a scenario file.
    Sim {
        #[command(flatten)]
        sim: SimArgs,
    },
    /// The lab by hand: up, down, status, shell, power
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
}

fn main() -> ExitCode {
    let args = Cli::parse();
    let result = match args.command {
        Command::Run { run, site } => experiment(&run, &site, args.lab.as_deref()),
        Command::List => list(),
        Command::Sim { sim } => simulator::run(&sim).map(exit_code),
        Command::Lab { command } => lab::run(command, args.lab.as_deref()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}

fn experiment(run: &RunArgs, site: &SiteArgs, lab: Option<&Path>) -> anyhow::Result<ExitCode> {
    let servers: Vec<&str> = network::servers().map(|s| s.name).collect();
    let open = || -> anyhow::Result<Box<dyn Site>> {
        let purpose = format!("testbed run {}", run.names.join(" "));
        Ok(Box::new(LabSite::open(
            site,
            lab,
            purpose,
            Cancel::on_signals()?,
        )?))
    };
    experiments::run(run, &servers, open).map(exit_code)
}

fn exit_code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn list() -> anyhow::Result<ExitCode> {
    let all = RunArgs {
        names: Vec::new(),
        list: true,
        on: On::Lab,
        repeats: None,
        out: None,
        keep: false,
        fresh: false,
    };
    experiment(&all, &SiteArgs::default(), None)
}
