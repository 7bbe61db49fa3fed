//! `ringward probe`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use ringward::cluster::{Service, Settings};
use ringward::probe::{self, Accounts, Schedule};
use ringward::site::Paths;

use super::run::terminated;
use super::{block_on, duration};

/// What to examine: the network, or a service.
#[derive(Debug, Clone, Copy)]
enum What {
    Ping,
    Service(Service),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ping" => Ok(Self::Ping),
            other => other.parse().map(Self::Service).map_err(|_| {
                let known: Vec<_> = Service::ALL.iter().map(ToString::to_string).collect();
                format!("expected ping, {}", known.join(", "))
            }),
        }
    }
}

/// Options of an examination.
#[derive(Debug, Args)]
pub(super) struct Command {
    /// ping, smtp, imap, ssh, ftp, http or proxy
    #[arg(value_name = "SERVICE")]
    what: What,
    /// IPv4 address of the machine
    address: Ipv4Addr,
    /// Time for an answer; the whole examination may take three times as long
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    within: Duration,
    /// Access again and again, and write a line `hh:mm:ss.cc OK` or `.. XX why` each time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    every: Option<Duration>,
    /// Append the lines to this file instead of printing them
    #[arg(long, value_name = "FILE", requires = "every")]
    log: Option<PathBuf>,
    /// cluster.toml with the accounts of examinations
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Private key for examining ssh
    #[arg(long, value_name = "FILE", default_value_os_t = Paths::default().probe_key())]
    key: PathBuf,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        let settings = match &self.settings {
            None => Settings::default(),
            Some(file) => {
                let name = file.display().to_string();
                let text = fs::read_to_string(file).with_context(|| format!("read {name}"))?;
                Settings::parse(&name, &text)?
            }
        };
        let accounts = Accounts {
            settings: settings.probe,
            ssh_key: self.key.clone(),
        };
        match (self.what, self.every) {
            (What::Ping, Some(_)) => {
                bail!("--every: an access log is of a service; choose one instead of ping")
            }
            (What::Service(service), Some(every)) => self.follow(service, &accounts, every),
            (what, None) => self.once(what, &accounts),
        }
    }

    fn once(&self, what: What, accounts: &Accounts) -> Result<ExitCode> {
        let (address, within) = (self.address, self.within);
        let took = block_on(async {
            match what {
                What::Ping => probe::ping(address, within).await,
                What::Service(service) => {
                    probe::service_by_answers(service, address, accounts, within).await
                }
            }
        })?;
        match took {
            Ok(took) => {
                println!("OK {:.3} s", took.as_secs_f64());
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                println!("XX {error}");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn follow(&self, service: Service, accounts: &Accounts, every: Duration) -> Result<ExitCode> {
        let mut log: Box<dyn Write> = match &self.log {
            None => Box::new(io::stdout()),
            Some(path) => Box::new(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .with_context(|| format!("open {}", path.display()))?,
            ),
        };
        let schedule = Schedule::every(every);
        block_on(async {
            tokio::select! {
                () = terminated()? => Ok(ExitCode::SUCCESS),
                ended = probe::log_accesses(service, self.address, accounts, schedule, &mut log) => {
                    ended.context("write the access log")?;
                    Ok(ExitCode::SUCCESS)
                }
            }
        })?
    }
}
