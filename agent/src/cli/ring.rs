//! `ringward ring`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use ringward::cluster::{Group, Topology, ring};

/// Options of the ring.
#[derive(Debug, Args)]
pub(super) struct Command {
    /// The group file
    #[arg(long, value_name = "FILE")]
    group: PathBuf,
    /// ring or star
    #[arg(long, default_value_t)]
    topology: Topology,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let group = read_group(&self.group)?;
        print!("{}", ring::operation(&group, self.topology));
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a group file, with or without trailer.
pub(super) fn read_group(file: &PathBuf) -> Result<Group> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("read {name}"))?;
    Ok(Group::parse(&name, &text)?)
}
