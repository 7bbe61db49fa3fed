//! Command line of the testbed.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use testbed::lab::cli::{self, LabCommand};

/// A whole ring under QEMU, and the experiments of the paper on it
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// What the lab is made of, as `nix build .#lab` wrote it; else the variable RINGWARD_LAB names it
    #[arg(long, global = true, value_name = "FILE")]
    lab: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The lab by hand: up, down, status, shell, power
    Lab {
        #[command(subcommand)]
        command: LabCommand,
    },
}

fn main() -> ExitCode {
    let args = Cli::parse();
    let result = match args.command {
        Command::Lab { command } => cli::run(command, args.lab.as_deref()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}
