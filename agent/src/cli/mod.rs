//! Command line: reads it, runs it, says what went wrong.
//!
//! Exit codes: 0 done, 1 it failed or the answer is no, 2 the command line makes no sense.

mod backup;
mod data;
mod flag;
mod keys;
mod placement;
mod probe;
mod ring;
mod run;
mod status;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use ringward::observe::{Audience, tell};
use ringward::site::Paths;

/// Servers that guard each other in a ring
///
/// Every server runs `ringward executer`. It runs the node, which manages two neighbours and brings
/// their functions back when they fail. The other commands are for the operator.
#[derive(Debug, Parser)]
#[command(
    name = "ringward",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node while the flag file is there; started by the operating system
    Executer(run::Executer),
    /// Run the node itself; started by the executer
    Node(run::Node),
    /// Show what the node of this server does
    Status(status::Command),
    /// Take this server into management or out of it
    #[command(subcommand)]
    Flag(flag::Command),
    /// Examine a service once, or write an access log as a client sees it
    Probe(probe::Command),
    /// Make and try the golden states of backup VMs
    #[command(subcommand)]
    Backup(backup::Command),
    /// Check or seal files of management data
    #[command(subcommand)]
    Data(data::Command),
    /// Show who manages whom in a group
    Ring(ring::Command),
    /// Show the condition file that follows from measured loads
    Predict(placement::Predict),
    /// Show the non-select value of every server: where a backup VM would start
    Placement(placement::Placement),
    /// Make the keys of a cluster
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Sign releases of the agent
    #[command(subcommand)]
    Release(keys::ReleaseCommand),
}

/// Where things are on this server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Places")]
struct PathArgs {
    /// The site medium: name, keys, accounts
    #[arg(long, value_name = "DIR", default_value_os_t = Paths::default().site)]
    site: PathBuf,
    /// What this server keeps over a restart
    #[arg(long, value_name = "DIR", default_value_os_t = Paths::default().state)]
    state: PathBuf,
    /// The shared area of file server 1
    #[arg(long, value_name = "DIR", default_value_os_t = Paths::default().share)]
    share: PathBuf,
    /// What is gone after a restart
    #[arg(long, value_name = "DIR", default_value_os_t = Paths::default().run)]
    run: PathBuf,
}

impl From<PathArgs> for Paths {
    fn from(args: PathArgs) -> Self {
        Self {
            site: args.site,
            state: args.state,
            share: args.share,
            run: args.run,
        }
    }
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    tell(match cli.command {
        Command::Executer(_) | Command::Node(_) => Audience::Journal,
        _ => Audience::Terminal,
    });
    if matches!(cli.command, Command::Executer(_) | Command::Node(_)) {
        // They run for months. Nothing depends on it.
        if let Err(error) = ringward::host::resident::give_back() {
            tracing::debug!("give memory back: {error}");
        }
    }
    let done = match cli.command {
        Command::Executer(command) => command.run(),
        Command::Node(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Flag(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::Backup(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Ring(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Placement(command) => command.run(),
        Command::Keys(command) => command.run(),
        Command::Release(command) => command.run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("ringward: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs `task` on this thread: the agent has little to do, and memory counts.
fn block_on<T>(task: impl Future<Output = T>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().context("start the runtime")?;
    let result = runtime.block_on(task);
    // A thread that is stuck in the share must not keep the program from ending.
    runtime.shutdown_background();
    Ok(result)
}

/// Reads `100ms`, `1.5s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and ms, s or m, like 100ms".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if duration.is_zero() {
        Err("expected more than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "5h", "-1s", "0s", "1e400s", "nans"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
