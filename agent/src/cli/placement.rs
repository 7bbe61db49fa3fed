//! `ringward predict` and `ringward placement`: where a backup VM would start, and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use ringward::cluster::{Condition, ServerType};
use ringward::manage::placement::{Sample, condition, ranked};
use ringward::site::Paths;
use serde::Deserialize;
use serde_json::json;

/// Options of the placement.
#[derive(Debug, Args)]
pub(super) struct Placement {
    /// Type of the server whose function has to move: CPU, NETWORK or CPU_NET
    #[arg(long = "type", value_name = "TYPE")]
    server_type: ServerType,
    /// The real server condition file
    #[arg(long, value_name = "FILE", default_value_os_t = Paths::default().share.join("condition"))]
    condition: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Placement {
    pub(super) fn run(self) -> Result<ExitCode> {
        let name = self.condition.display().to_string();
        let condition = Condition::parse(&name, &read(&self.condition)?)?;
        let servers = ranked(self.server_type, &condition);
        let Some((chosen, _)) = servers.first() else {
            bail!("{name}: no server has told its load yet");
        };
        if self.json {
            let value = |(name, value): &_| json!({ "name": name, "value": value });
            let values: Vec<_> = servers.iter().map(value).collect();
            println!("{:#}", json!({ "chosen": chosen, "servers": values }));
            return Ok(ExitCode::SUCCESS);
        }
        for (server, value) in servers {
            println!("{server} {}", (value * 100.0).round() / 100.0);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Options of the prediction.
#[derive(Debug, Args)]
pub(super) struct Predict {
    /// Loads measured in two steps, as JSON: {"servers":[{"name","cores","memory_kb","rated_kb",
    /// "vm","am":[previous,current],"ac":[..],"an":[..]}]}; ac in per cent idle of the whole
    /// machine, an in KB a second
    #[arg(long, value_name = "FILE")]
    samples: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The file of samples.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    servers: Vec<Sample>,
}

impl Predict {
    pub(super) fn run(self) -> Result<ExitCode> {
        let name = self.samples.display().to_string();
        let samples: Samples = serde_json::from_str(&read(&self.samples)?)
            .with_context(|| format!("{name} is no file of samples; see --help"))?;
        let condition = condition(&samples.servers);
        if self.json {
            println!("{:#}", serde_json::to_value(&condition)?);
        } else {
            print!("{condition}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}
