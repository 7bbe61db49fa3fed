//! `ringward flag`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use ringward::executer::flag;
use ringward::site::Paths;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set the flag: this server manages, now and after a restart
    Set(State),
    /// Clear the flag: all management on this server stops
    Clear(State),
    /// Tell whether the flag is set (exit code 1 if not)
    Show(State),
}

#[derive(Debug, Args)]
pub(super) struct State {
    /// What this server keeps over a restart
    #[arg(long, value_name = "DIR", default_value_os_t = Paths::default().state)]
    state: PathBuf,
}

impl State {
    fn flag(self) -> PathBuf {
        Paths {
            state: self.state,
            ..Paths::default()
        }
        .flag()
    }
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (doing, path, text, ok) = match self {
            Self::Set(state) => {
                let path = state.flag();
                let changed =
                    flag::set(&path).with_context(|| format!("set {}", path.display()))?;
                (
                    "set",
                    path,
                    if changed { "set" } else { "was set already" },
                    true,
                )
            }
            Self::Clear(state) => {
                let path = state.flag();
                let changed =
                    flag::clear(&path).with_context(|| format!("clear {}", path.display()))?;
                (
                    "clear",
                    path,
                    if changed { "cleared" } else { "was not set" },
                    true,
                )
            }
            Self::Show(state) => {
                let path = state.flag();
                let set =
                    flag::is_set(&path).with_context(|| format!("look for {}", path.display()))?;
                ("show", path, if set { "set" } else { "not set" }, set)
            }
        };
        tracing::debug!("flag {doing} {}", path.display());
        println!("flag {text}");
        Ok(if ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
