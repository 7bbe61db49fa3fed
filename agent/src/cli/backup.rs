//! `ringward backup`: golden states of backup VMs, made and tried by the cluster itself.
//!
//! A state is saved when its services answer and have been examined once: what they read from disk
//! for that is in the VM's memory then, so the first client after a resumption does not wait for
//! it. Saving unmounts the users' data again. `verify` resumes the state and examines it at the
//! VM's own address; the virtual address stays where it is.

mod answer;
mod plan;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use ringward::host::vm::{Golden, Hypervisor};
use ringward::probe;
use tokio::time::{Instant, sleep};

use super::run::terminated;
use super::{PathArgs, block_on, duration};
use plan::Backup;

/// Between two tries of a service that does not answer yet.
const AGAIN: Duration = Duration::from_millis(50);
/// Time for the first whole examination of a service, which may mount the users' data.
const REHEARSAL: Duration = Duration::from_secs(60);
/// Time for an address to show that it is in use.
const IN_USE: Duration = Duration::from_millis(500);
/// Time for the hypervisor's daemon to come up.
const HYPERVISOR: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Boot a server's backup VM here and save it as its new golden state
    Prepare(One),
    /// Resume the golden state here, examine its services, and measure the activation time
    Verify(One),
    /// Load the golden state here and keep it paused, for this server's agent to use
    Load(One),
    /// List the golden states on the share
    List(All),
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The server whose function the VM takes over, like ftp
    name: String,
    /// Time for the services to answer
    #[arg(long, value_name = "TIME", default_value = "180s", value_parser = duration)]
    within: Duration,
    #[command(flatten)]
    paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct All {
    #[command(flatten)]
    paths: PathArgs,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Prepare(one) => one.run(Work::Prepare),
            Self::Verify(one) => one.run(Work::Verify),
            Self::Load(one) => one.run(Work::Load),
            Self::List(all) => list(all),
        }
    }
}

#[derive(Clone, Copy)]
enum Work {
    Prepare,
    Verify,
    Load,
}

impl One {
    fn run(self, work: Work) -> Result<ExitCode> {
        let paths = self.paths.into();
        block_on(async {
            let backup = Backup::load(&paths, &self.name).await?;
            let vm = backup.plan.vm.clone();
            if probe::ping(backup.plan.ipv, IN_USE).await.is_ok() {
                let ipv = backup.plan.ipv;
                bail!(
                    "{vm} runs somewhere, its address {ipv} answers; try again when it is released"
                );
            }
            let hypervisor = Hypervisor::start(backup.settings.clone())?;
            hypervisor.ready(HYPERVISOR).await?;
            let done = tokio::select! {
                done = async {
                    match work {
                        Work::Prepare => prepare(&hypervisor, &backup, self.within).await,
                        Work::Verify => verify(&hypervisor, &backup, self.within).await,
                        Work::Load => load(&hypervisor, &backup).await,
                    }
                } => done,
                () = terminated()? => Err(anyhow::anyhow!("stopped; nothing is changed")),
            };
            if done.is_err() && backup.is_ours() {
                hypervisor
                    .release(&vm)
                    .await
                    .context("destroy the VM that was tried")?;
            }
            done.map(|()| ExitCode::SUCCESS)
        })?
    }
}

async fn prepare(hypervisor: &Hypervisor, backup: &Backup, within: Duration) -> Result<()> {
    let vm = &backup.plan.vm;
    backup.take(hypervisor).await?;
    let begun = Instant::now();
    hypervisor.boot(backup.plan.clone()).await?;
    println!("{vm}: booted after {}", seconds(begun));
    answer::wait(&backup.services, backup.plan.ipv, within).await?;
    println!("{vm}: {} answers after {}", backup.daemons, seconds(begun));
    rehearse(backup).await;
    let meta = hypervisor.save(backup.plan.clone()).await?;
    // Nothing but a new generation may replace it.
    Golden::current(&hypervisor.settings().backup, vm.as_str())
        .map_err(anyhow::Error::from)
        .and_then(|golden| protect(&golden))?;
    let mib = meta.memory.length as f64 / f64::from(1 << 20);
    let took = seconds(begun);
    println!(
        "{vm}: generation {} saved after {took}, {mib:.0} MiB of memory",
        meta.generation
    );
    Ok(())
}

/// Examines the services once. A state that cannot be rehearsed (a proxy without a web server to
/// fetch from) is only slower.
async fn rehearse(backup: &Backup) {
    let vm = &backup.plan.vm;
    for &service in &backup.services {
        let ipv = backup.plan.ipv;
        if let Err(error) = probe::service(service, ipv, &backup.accounts, REHEARSAL).await {
            println!("{vm}: {service} will answer late when resumed, not rehearsed: {error}");
        }
    }
}

async fn verify(hypervisor: &Hypervisor, backup: &Backup, within: Duration) -> Result<()> {
    let vm = &backup.plan.vm;
    let golden = Golden::current(&hypervisor.settings().backup, vm.as_str())?;
    golden.verify()?;
    println!(
        "{vm}: generation {} of {} is whole",
        golden.meta.generation, golden.meta.created
    );
    backup.take(hypervisor).await?;

    let (runs, answers) = activate(hypervisor, backup, within).await?;
    println!("{vm}: restored from the share: runs after {runs}, serves after {answers}");
    hypervisor.release(vm).await?;

    hypervisor.load(vm).await?;
    let (runs, answers) = activate(hypervisor, backup, within).await?;
    println!("{vm}: loaded and paused: runs after {runs}, serves after {answers}");
    hypervisor.release(vm).await?;
    Ok(())
}

async fn load(hypervisor: &Hypervisor, backup: &Backup) -> Result<()> {
    let vm = &backup.plan.vm;
    backup.take(hypervisor).await?;
    let begun = Instant::now();
    let meta = hypervisor.load(vm).await?;
    let (generation, took) = (meta.generation, seconds(begun));
    println!("{vm}: generation {generation} loaded after {took}");
    Ok(())
}

/// Activates the VM as a failover does and waits until a client would be content; returns when it ran and
/// when it served.
async fn activate(
    hypervisor: &Hypervisor,
    backup: &Backup,
    within: Duration,
) -> Result<(String, String)> {
    let begun = Instant::now();
    hypervisor.activate(&backup.plan.vm).await?;
    let runs = seconds(begun);
    hypervisor.wake(&backup.plan.vm).await?;
    for &service in &backup.services {
        let ipv = backup.plan.ipv;
        // One long examination rather than many short ones: a guest that has just resumed is
        // slow, and sessions that were given up would pile up in it.
        loop {
            let left = within.saturating_sub(begun.elapsed());
            match probe::service(service, ipv, &backup.accounts, left).await {
                Ok(_) => break,
                Err(error) if begun.elapsed() >= within => {
                    let within = within.as_secs();
                    return Err(error).with_context(|| {
                        format!("{service} of {} at {ipv} within {within} s", backup.plan.vm)
                    });
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
    Ok((runs, seconds(begun)))
}

fn seconds(since: Instant) -> String {
    format!("{:.2} s", since.elapsed().as_secs_f64())
}

/// Makes the files of a golden state read-only.
fn protect(golden: &Golden) -> Result<()> {
    for name in ["disk.qcow2", "memory", "meta.toml"] {
        let path = golden.dir.join(name);
        let failed = || format!("make {} read-only", path.display());
        let mut permissions = fs::metadata(&path).with_context(failed)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).with_context(failed)?;
    }
    Ok(())
}

fn list(all: All) -> Result<ExitCode> {
    let paths: ringward::site::Paths = all.paths.into();
    let backup = paths.share.join("backup");
    let entries = fs::read_dir(&backup)
        .with_context(|| format!("list {}; is the share mounted?", backup.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        bail!(
            "no golden state in {}; make one with `ringward backup prepare`",
            backup.display()
        );
    }
    let mut code = ExitCode::SUCCESS;
    for vm in names {
        match Golden::current(&backup, &vm) {
            Ok(golden) => println!("{}", describe(&golden, Timestamp::now())),
            Err(error) => {
                println!("{vm}: {}", ringward::observe::chain(&error));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn describe(golden: &Golden, now: Timestamp) -> String {
    let meta = &golden.meta;
    let created = meta.created.parse::<Timestamp>();
    let days = created.map_or(0, |created| {
        (now.as_second() - created.as_second()) / 86_400
    });
    let saved = (meta.memory.length + meta.disk.length) as f64 / f64::from(1 << 20);
    format!(
        "{}: generation {}, {} ({days} days old), {} MiB of memory, {saved:.0} MiB saved, QEMU {}",
        meta.vm, meta.generation, meta.created, meta.memory_mb, meta.qemu
    )
}
