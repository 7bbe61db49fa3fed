//! `ringward ring`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use ringward::cluster::{Group, ServerName, Topology, ring};
use serde_json::json;

/// Options of the ring.
#[derive(Debug, Args)]
pub(super) struct Command {
    /// The group file
    #[arg(long, value_name = "FILE")]
    group: PathBuf,
    /// ring or star
    #[arg(long, default_value_t)]
    topology: Topology,
    /// Servers that are out of the group because their functions are recovered
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    separated: Vec<ServerName>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut group = read_group(&self.group)?;
        for name in &self.separated {
            if group.remove(name).is_none() {
                let file = self.group.display();
                let names: Vec<&str> = group.names().map(ServerName::as_str).collect();
                bail!(
                    "{file}: no {name} to separate; there are: {}",
                    names.join(", ")
                );
            }
        }
        let operation = ring::operation(&group, self.topology);
        if self.json {
            println!("{:#}", json!({ "operation": operation.tasks }));
        } else {
            print!("{operation}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a group file, with or without trailer.
pub(super) fn read_group(file: &PathBuf) -> Result<Group> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("read {name}"))?;
    Ok(Group::parse(&name, &text)?)
}
