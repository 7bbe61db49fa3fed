//! `ringward placement`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use ringward::cluster::{Condition, ServerType};
use ringward::manage::placement::ranked;
use ringward::site::Paths;

/// Options of the placement.
#[derive(Debug, Args)]
pub(super) struct Command {
    /// Type of the server whose function has to move: CPU, NETWORK or CPU_NET
    #[arg(value_name = "TYPE")]
    server_type: ServerType,
    /// The real server condition file
    #[arg(long, value_name = "FILE", default_value_os_t = Paths::default().share.join("condition"))]
    condition: PathBuf,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let name = self.condition.display().to_string();
        let text = fs::read_to_string(&self.condition).with_context(|| format!("read {name}"))?;
        let condition = Condition::parse(&name, &text)?;
        if condition.servers.is_empty() {
            bail!("{name}: no server has told its load yet");
        }
        for (server, value) in ranked(self.server_type, &condition) {
            println!("{server} {}", (value * 100.0).round() / 100.0);
        }
        Ok(ExitCode::SUCCESS)
    }
}
