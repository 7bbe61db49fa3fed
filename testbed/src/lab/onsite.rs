//! The lab as a place for experiments: [`Site`] carried out on a [`Lab`].

use super::accel::Wanted;
use super::bundle::Bundle;
use super::cancel::Cancel;
use super::control::Button;
use super::error::LabError;
use super::lab::{Lab, Options};
use super::lock::{self, LabLock};
use super::machine::Power;
use super::network;
use super::pace::Pace;
use super::progress;
use super::roster::Roster;
use super::serve;
use super::site;
use super::yielding::Word;
use crate::experiment::site::{Artefact, Facts, Ran, Site, SiteServer, Slowed, Switch};
use anyhow::{Context, Result};
use ringward::cluster::{Daemon, Profile, ServerType, Topology};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the operator says about the lab of an experiment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SiteArgs {
    /// Release this agent to the servers instead of the one that was built with the images
    #[arg(long, value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// Processor of the machines; `auto` decides by a timed probe
    #[arg(long, value_enum, default_value_t)]
    pub accel: Wanted,
    /// Where the lab keeps its logs while experiments run; removed when all went well
    #[arg(long, value_name = "DIR")]
    pub lab_dir: Option<PathBuf>,
}

/// The lab as a site. Dropped, it goes down.
pub struct LabSite {
    bundle: Bundle,
    args: SiteArgs,
    /// Each lab of these experiments has a directory in it.
    dir: PathBuf,
    purpose: String,
    cancel: Cancel,
    lab: Option<Lab>,
    labs: u32,
    /// The host's, from before the first lab on.
    pace: Pace,
    /// When the newest lab began to come up.
    began: Duration,
}

impl LabSite {
    /// A site that is not up yet. `lab` is the value of `--lab`, `purpose` what a second process is
    /// told that this one does.
    ///
    /// # Errors
    /// When there is nothing to make a lab of, or one is running already.
    pub fn open(
        args: &SiteArgs,
        lab: Option<&Path>,
        purpose: String,
        cancel: Cancel,
    ) -> Result<LabSite> {
        let bundle = Bundle::find(lab)?;
        drop(LabLock::take(&lock::runtime_dir()?, &purpose)?);
        let default = || PathBuf::from(format!("runs/lab-{}", std::process::id()));
        let dir = std::path::absolute(args.lab_dir.clone().unwrap_or_else(default))?;
        Ok(LabSite {
            bundle,
            args: args.clone(),
            dir,
            purpose,
            cancel,
            lab: None,
            labs: 0,
            pace: Pace::begin(),
            began: Duration::ZERO,
        })
    }

    /// The lab, for faults that [`Site`] has no word for.
    ///
    /// # Errors
    /// While it is not up.
    pub fn lab(&self) -> Result<&Lab> {
        self.lab.as_ref().context("the lab is not up")
    }

    fn takes_its_course(&self, node: &str, word: Word) {
        let machine = self.lab.as_ref().and_then(|lab| lab.machine(node).ok());
        if let Some(machine) = machine {
            machine.takes_its_course(word);
        }
    }

    fn lab_options(&self, profile: Profile, fresh: bool) -> Options {
        Options {
            bundle: self.bundle.clone(),
            agent: self.args.agent.clone(),
            accel: self.args.accel,
            run_dir: self.run_dir(),
            settings: site::settings(profile),
            topology: Topology::Ring,
            fresh,
            at_work: false,
            at_once: 2,
            keep: false,
            roster: Roster::default(),
            only: Vec::new(),
            purpose: self.purpose.clone(),
        }
    }

    /// Where the newest lab keeps its files.
    fn run_dir(&self) -> PathBuf {
        self.dir.join(self.labs.to_string())
    }
}

impl Site for LabSite {
    fn servers(&self) -> Vec<SiteServer> {
        let server = |s: &network::Spec| SiteServer {
            vm: s.vm_name(),
            name: s.name.to_owned(),
            ip: s.ip,
            vip: s.vip(),
            mac: s.mac,
            daemons: s.function().map(|f| daemons(f.daemons)).unwrap_or_default(),
            server_type: s.function().map_or(ServerType::Network, |f| f.server_type),
        };
        network::servers().map(server).collect()
    }

    fn prepare(&mut self, profile: Profile, fresh: bool, say: &mut dyn FnMut(&str)) -> Result<()> {
        if let Some(lab) = self.lab.take() {
            lab.down()?;
        }
        self.labs += 1;
        self.began = self.now();
        let options = self.lab_options(profile, fresh);
        let cancel = self.cancel.clone();
        let (tell, told) = channel();
        let lab = std::thread::scope(|scope| {
            let up = scope.spawn(move || {
                let listener = progress::lines(move |line| {
                    // The listener outlives the scope only if nobody listens any more.
                    let _ = tell.send(line.to_owned());
                });
                Lab::up(&options, &cancel, &listener)
            });
            told.iter().for_each(|line| say(&line));
            up.join()
                .map_err(|_| LabError::Other("bringing up the lab panicked".to_owned()))
        })?;
        let logs = || {
            format!(
                "the lab did not come up; its logs are in {}",
                self.run_dir().display()
            )
        };
        self.lab = Some(lab.with_context(logs)?);
        Ok(())
    }

    fn finish(&mut self, keep: bool) -> Result<()> {
        let Some(lab) = self.lab.take() else {
            return Ok(());
        };
        if keep && !self.cancel.is_set() {
            return Ok(serve::keep(lab, &self.cancel)?);
        }
        lab.down()?;
        // The experiments have taken what they need; after a failure the logs stay.
        std::fs::remove_dir_all(&self.dir)
            .with_context(|| format!("cannot remove {}", self.dir.display()))
    }

    fn now(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, time: Duration) -> Result<()> {
        Ok(self.cancel.sleep(time)?)
    }

    fn exec(&self, node: &str, argv: &[&str], within: Duration) -> Result<Ran> {
        let out = self.lab()?.exec(node, argv, within)?;
        Ok(Ran {
            status: out.code,
            stdout: out.stdout,
            stderr: out.stderr,
        })
    }

    fn start(&self, node: &str, argv: &[&str]) -> Result<()> {
        Ok(self.lab()?.machine(node)?.guest.start(argv)?)
    }

    fn read_on(&self, node: &str, path: &str, from: u64) -> Result<Vec<u8>> {
        Ok(self.lab()?.machine(node)?.guest.read_on(path, from)?)
    }

    fn answers(&self, node: &str) -> bool {
        let machine = self.lab.as_ref().and_then(|lab| lab.machine(node).ok());
        machine.is_some_and(|m| m.has_agent().unwrap_or(false))
    }

    fn is_on(&self, node: &str) -> bool {
        let machine = self.lab.as_ref().and_then(|lab| lab.machine(node).ok());
        machine.is_some_and(|m| m.power().0 == Power::On)
    }

    fn power(&mut self, node: &str, switch: Switch) -> Result<()> {
        let button = match switch {
            Switch::On => Button::On,
            Switch::Cut => Button::Cut,
            Switch::Unplug => Button::Unplug,
            Switch::Freeze => Button::Freeze,
        };
        Ok(serve::press(&*self.lab()?.machine(node)?, button)?)
    }

    fn shuts_down(&self, node: &str) {
        self.takes_its_course(node, Word::Ends);
    }

    fn is_up(&self, node: &str) {
        self.takes_its_course(node, Word::Up);
    }

    fn slowed(&self, since: Duration) -> Option<Slowed> {
        self.pace.slowed(since)
    }

    fn capture(&self) -> Result<PathBuf> {
        Ok(self.lab()?.capture()?)
    }

    fn artefacts(&self) -> Vec<Artefact> {
        let dir = self.run_dir();
        let pace = dir.join("pace.log");
        if let Err(error) = std::fs::write(&pace, self.pace.log(self.began)) {
            // It is then missed where it is collected.
            eprintln!("cannot write {}: {error}", pace.display());
        }
        let mut all = vec![Artefact {
            path: dir.join("events.log"),
            name: "events.log".to_owned(),
            about: "power and faults, by the host's clock".to_owned(),
        }];
        for machine in &network::MACHINES {
            for (file, about) in [
                ("console.log", "serial console"),
                ("qemu.log", "what its QEMU had to say"),
            ] {
                let name = format!("machines/{}/{file}", machine.name);
                let about = format!("{}: {about}", machine.name);
                all.push(Artefact {
                    path: dir.join(&name),
                    name,
                    about,
                });
            }
        }
        all.retain(|a| a.path.exists());
        all.push(Artefact {
            path: pace,
            name: "pace.log".to_owned(),
            about: "how long memory took on the host, second by second: others slow it".to_owned(),
        });
        all
    }

    fn calibration_path(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.lab.as_ref().map(Lab::calibration).transpose()?)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts {
            host: host(),
            ..Facts::default()
        };
        let Some(lab) = &self.lab else { return facts };
        facts.accelerator = lab.choice().to_string();
        let tools = &self.bundle.tools;
        if let Ok(said) = tools.run("qemu-system-x86_64", &["--version".into()]) {
            let line = String::from_utf8_lossy(&said)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            facts.versions.insert("qemu".to_owned(), line);
        }
        let agent = self.args.agent.as_ref().unwrap_or(&self.bundle.agent);
        if let Ok(file) = std::fs::metadata(agent) {
            facts
                .versions
                .insert("agent binary".to_owned(), format!("{} bytes", file.len()));
        }
        let resident: u64 = lab.machines().iter().map(|m| m.resident_mb()).sum();
        facts.versions.insert(
            "machines' memory".to_owned(),
            format!("{resident} MB resident"),
        );
        facts
    }
}

fn daemons(words: &str) -> Vec<Daemon> {
    words
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// Processor and kernel of this host.
fn host() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|l| l.starts_with("model name"));
    let model = model
        .and_then(|l| l.split_once(": "))
        .map_or("unknown processor", |(_, m)| m);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{cores} x {model}, Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_daemon_of_every_server_is_one_that_the_agent_knows() {
        for server in network::servers() {
            let words = server.function().map_or("", |f| f.daemons);
            assert_eq!(
                daemons(words).len(),
                words.split(' ').count(),
                "{}",
                server.name
            );
        }
        assert!(host().contains("Linux"));
    }
}
