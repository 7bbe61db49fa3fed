//! `ringward data`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use ringward::check::{Checked, check};
use ringward::cluster::ManagementData;
use ringward::share::{seal, unseal};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check files by their names: *.dat, group, separation, operation, trouble, condition,
    /// cluster.toml
    Check(Files),
    /// Give management files that were written by hand their trailer, without which no server
    /// takes them
    Seal(Files),
}

#[derive(Debug, Args)]
pub(super) struct Files {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (files, one): (_, fn(&Path, &mut Servers) -> Result<String>) = match self {
            Self::Check(files) => (files, check_one),
            Self::Seal(files) => (files, |file, _| seal_one(file)),
        };
        let mut servers = Servers::default();
        let mut code = ExitCode::SUCCESS;
        for file in &files.files {
            match one(file, &mut servers) {
                Ok(text) => println!("{}: {text}", file.display()),
                Err(error) => {
                    eprintln!("{error:#}");
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}

/// Management data seen so far: no two servers may share a name or an address.
#[derive(Default)]
struct Servers(Vec<(String, String)>);

impl Servers {
    fn add(&mut self, file: &str, data: &ManagementData) -> Result<()> {
        let own = [
            format!("virtual IP address {}", data.vip),
            format!("host name {}", data.name),
            format!("IP address {}", data.ipr),
            format!("hardware address {}", data.mac),
            format!("VM host name {}", data.vm_name),
            format!("VM IP address {}", data.ipv),
        ];
        for fact in own {
            if let Some((_, other)) = self.0.iter().find(|(seen, _)| *seen == fact) {
                anyhow::bail!("{file}: {fact} is in {other} as well; expected one of its own");
            }
            self.0.push((fact, file.to_owned()));
        }
        Ok(())
    }
}

fn check_one(file: &Path, servers: &mut Servers) -> Result<String> {
    let name = file.display().to_string();
    let bytes = fs::read(file).with_context(|| format!("read {name}"))?;
    Ok(match check(&name, &bytes)? {
        Checked::Data(data) => {
            servers.add(&name, &data)?;
            let daemons: Vec<_> = data.daemons.iter().map(|daemon| daemon.name()).collect();
            format!(
                "good, {} at {} with {}",
                data.name,
                data.vip,
                daemons.join(" ")
            )
        }
        Checked::Settings | Checked::Management { sealed: true } => "good".to_owned(),
        Checked::Management { sealed: false } => {
            format!("good, but without trailer: `ringward data seal {name}` before it is used")
        }
    })
}

fn seal_one(file: &Path) -> Result<String> {
    let name = file.display().to_string();
    let bytes = fs::read(file).with_context(|| format!("read {name}"))?;
    if unseal(&bytes).is_ok() {
        return Ok("was sealed already".to_owned());
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is not text"))?;
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("# ringward "))
        .map(|line| format!("{line}\n"))
        .collect();
    match check(&name, body.as_bytes())? {
        Checked::Management { .. } => {}
        Checked::Data(_) | Checked::Settings => {
            anyhow::bail!("{name}: has no trailer and needs none")
        }
    }
    let part = file.with_extension("part");
    fs::write(&part, seal(&body))
        .and_then(|()| fs::File::open(&part)?.sync_all())
        .and_then(|()| fs::rename(&part, file))
        .with_context(|| format!("write {name}"))?;
    Ok("sealed".to_owned())
}
