//! `testbed lab ...`: the lab by hand.

use super::accel::Wanted;
use super::bundle::Bundle;
use super::cancel::Cancel;
use super::console;
use super::control::{Answer, Button, Client, Request, Status};
use super::error::LabError;
use super::lab::Options;
use super::network;
use super::progress::{self, Step};
use super::roster::Roster;
use super::serve;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use ringward::cluster::{Profile, Topology};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// `testbed lab`.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Bring the lab up and leave it running in the background
    Up(UpArgs),
    /// The process behind `lab up`
    #[command(hide = true)]
    Serve(UpArgs),
    /// End the lab that `lab up` started
    Down,
    /// Show its machines
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// A root shell on a machine's serial console, or one command
    Shell {
        /// The machine
        node: String,
        /// Run this instead, through the guest agent
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Press a machine's buttons
    Power {
        /// The machine
        node: String,
        /// What to do
        action: Button,
    },
}

/// What kind of lab.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Boot anew instead of loading a saved ready state
    #[arg(long)]
    pub fresh: bool,
    /// Release this agent to the servers instead of the one that was built with the images
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Processor of the machines; `auto` decides by a timed probe
    #[arg(long, value_enum, default_value_t)]
    pub accel: Wanted,
    /// Timings of the agents: paper or fast
    #[arg(long, default_value = "paper")]
    pub profile: Profile,
    /// Where logs and the LAN capture go
    #[arg(long, value_name = "DIR", default_value = "runs/lab")]
    pub run_dir: PathBuf,
    /// Machines booted, saved or loaded at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub at_once: usize,
    /// Keep the machines for a look when they do not come up
    #[arg(long)]
    pub keep: bool,
    /// Only these machines, and without golden states
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub only: Vec<String>,
}

impl UpArgs {
    /// The options they stand for.
    pub fn options(&self, lab: Option<&Path>, purpose: &str) -> Result<Options, LabError> {
        let only = self.only.iter().map(|n| network::find(n).map(|s| s.name));
        Ok(Options {
            bundle: Bundle::find(lab)?,
            agent: self.agent.clone(),
            accel: self.accel,
            run_dir: std::path::absolute(&self.run_dir)
                .map_err(LabError::io("find", &self.run_dir))?,
            settings: super::site::settings(self.profile),
            topology: Topology::Ring,
            fresh: self.fresh,
            at_work: true,
            at_once: self.at_once.max(1),
            keep: self.keep,
            roster: Roster::default(),
            only: only.collect::<Result<_, _>>()?,
            purpose: purpose.to_owned(),
        })
    }
}

/// Carries the command out; `lab` is the value of `--lab`.
pub fn run(command: LabCommand, lab: Option<&Path>) -> Result<ExitCode> {
    match command {
        LabCommand::Up(args) => up(&args, lab)?,
        LabCommand::Serve(args) => {
            serve::serve(
                &args.options(lab, "testbed lab up")?,
                &Cancel::on_signals()?,
            )?;
        }
        LabCommand::Down => {
            Client::connect()?.ask(&Request::Down)?;
            println!("The lab is down.");
        }
        LabCommand::Status { json } => {
            let Answer::Status(status) = Client::connect()?.ask(&Request::Status)? else {
                bail!("the lab gave an unexpected answer");
            };
            let text = if json {
                serde_json::to_string_pretty(&status)?
            } else {
                table(&status)
            };
            // A reader that has seen enough, such as `head`, is no error.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        LabCommand::Shell { node, command } => return shell(&node, command),
        LabCommand::Power { node, action } => {
            network::find(&node)?;
            Client::connect()?.ask(&Request::Power(node, action))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn shell(node: &str, command: Vec<String>) -> Result<ExitCode> {
    network::find(node)?;
    let mut client = Client::connect()?;
    if command.is_empty() {
        if let Answer::Console(socket) = client.ask(&Request::Console(node.to_owned()))? {
            console::attach(node, &socket)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Answer::Ran {
        stdout,
        stderr,
        code,
    } = client.ask(&Request::Exec(node.to_owned(), command))?
    else {
        bail!("the lab gave an unexpected answer");
    };
    std::io::stdout().write_all(&stdout)?;
    std::io::stderr().write_all(&stderr)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Starts the background process and shows how the lab comes up.
fn up(args: &UpArgs, lab: Option<&Path>) -> Result<()> {
    // Everything that can be wrong about the arguments is said here, not in a log.
    let options = args.options(lab, "testbed lab up")?;
    let cancel = Cancel::on_signals()?;
    std::fs::create_dir_all(&options.run_dir)
        .with_context(|| format!("cannot create {}", options.run_dir.display()))?;
    let log = options.run_dir.join("lab.log");
    let mut server = start(&log, lab)?;
    let mut client = wait_for(&mut server, &log, &cancel)?;
    let stream = client.stream()?;
    let (interrupt, over) = (cancel.clone(), Cancel::default());
    let watched = over.clone();
    let watcher = std::thread::spawn(move || {
        while !watched.is_set() && interrupt.sleep(Duration::from_millis(100)).is_ok() {}
        // Wakes the reader below; if that is over already, there is nobody to wake.
        let _ = stream.shutdown(Shutdown::Both);
    });
    let followed = follow(&mut client);
    over.set();
    let _ = watcher.join();
    if cancel.is_set() {
        eprintln!("Interrupted: taking the lab down.");
        Client::connect()?.ask(&Request::Down)?;
        bail!(LabError::Interrupted);
    }
    if followed.is_err() {
        let _ = server.wait();
    }
    followed.with_context(|| format!("the lab did not come up; its log is {}", log.display()))?;
    println!("The lab is up. Try: testbed lab status; testbed lab shell ftp; testbed lab down");
    Ok(())
}

/// This program again, with the same arguments but for `up`, on its own.
fn start(log: &Path, lab: Option<&Path>) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(word) = args.iter_mut().find(|a| *a == "up") {
        *word = "serve".into();
    }
    let file =
        std::fs::File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    if let Some(lab) = lab {
        command.env(super::bundle::ENV, lab);
    }
    command
        .process_group(0)
        .spawn()
        .context("cannot start the lab's background process")
}

fn wait_for(server: &mut Child, log: &Path, cancel: &Cancel) -> Result<Client> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if server.try_wait()?.is_some() {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("{}", said.trim().trim_start_matches("Error: "));
        }
        match Client::connect() {
            // Another process's lab would answer too; this one's own pid tells them apart.
            Ok(mut client) => match client.ask(&Request::Status) {
                Ok(Answer::Status(status)) if status.pid == server.id() => return Ok(client),
                _ => {}
            },
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => {}
        }
        if cancel.sleep(Duration::from_millis(50)).is_err() {
            server.kill()?;
            server.wait()?;
            bail!(LabError::Interrupted);
        }
    }
}

fn follow(client: &mut Client) -> Result<(), LabError> {
    let tell = progress::for_stderr();
    let mut answer = client.ask(&Request::Follow)?;
    while let Answer::Step(subject, step) = answer {
        tell(&subject, step);
        answer = client.next_answer()?;
    }
    tell("lab", Step::Done("up".to_owned()));
    Ok(())
}

fn table(status: &Status) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["machine", "address", "power", "for", "memory"]);
    for m in &status.machines {
        let since = m
            .for_s
            .map_or_else(|| "-".to_owned(), |s| format!("{s:.0} s"));
        let memory = format!("{} MB", m.resident_mb);
        table.add_row([&m.name, &m.ip, &m.power, &since, &memory]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let total: u64 = status.machines.iter().map(|m| m.resident_mb).sum();
    format!(
        "The lab is {} (process {}), {total} MB in all; accelerator: {}; logs in {}\n{table}",
        status.phase,
        status.pid,
        status.accelerator,
        status.run_dir.display()
    )
}
