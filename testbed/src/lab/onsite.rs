//! The lab as a place for experiments: [`Site`] carried out on a [`Lab`].

use super::accel::Wanted;
use super::bundle::Bundle;
use super::cancel::Cancel;
use super::control::Button;
use super::error::LabError;
use super::lab::{Lab, Options};
use super::machine::Power;
use super::network;
use super::progress;
use super::ready;
use super::serve;
use crate::experiment::site::{Artefact, Facts, Ran, Site, SiteServer, Switch};
use anyhow::{Context, Result};
use ringward::cluster::{Daemon, Profile, Topology};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a lab for experiments is made of.
#[derive(Clone)]
pub struct LabSiteOptions {
    /// Tools, images and agent.
    pub bundle: Bundle,
    /// Another agent than the bundle's.
    pub agent: Option<PathBuf>,
    /// KVM or emulation.
    pub accel: Wanted,
    /// Where each lab of these experiments keeps its files, in a directory of its own.
    pub dir: PathBuf,
    /// What this process is doing, for the message to a second one.
    pub purpose: String,
    /// Set by Ctrl-C.
    pub cancel: Cancel,
}

/// The lab as a site. Dropped, it goes down.
pub struct LabSite {
    options: LabSiteOptions,
    lab: Option<Lab>,
    labs: u32,
}

impl LabSite {
    /// A site that is not up yet.
    #[must_use]
    pub fn new(options: LabSiteOptions) -> LabSite {
        LabSite {
            options,
            lab: None,
            labs: 0,
        }
    }

    /// The lab, for faults that [`Site`] has no word for.
    ///
    /// # Errors
    /// While it is not up.
    pub fn lab(&self) -> Result<&Lab> {
        self.lab.as_ref().context("the lab is not up")
    }

    fn lab_options(&self, profile: Profile, fresh: bool) -> Options {
        let o = &self.options;
        Options {
            bundle: o.bundle.clone(),
            agent: o.agent.clone(),
            accel: o.accel,
            run_dir: o.dir.join(self.labs.to_string()),
            settings: format!("profile = \"{profile}\"\n"),
            topology: Topology::Ring,
            fresh,
            at_once: 2,
            only: Vec::new(),
            purpose: o.purpose.clone(),
        }
    }
}

impl Site for LabSite {
    fn servers(&self) -> Vec<SiteServer> {
        let server = |s: &network::Spec| SiteServer {
            name: s.name.to_owned(),
            ip: s.ip,
            vip: s.vip(),
            mac: s.mac,
            daemons: s.function().map(|f| daemons(f.daemons)).unwrap_or_default(),
        };
        network::servers().map(server).collect()
    }

    fn prepare(&mut self, profile: Profile, fresh: bool, say: &mut dyn FnMut(&str)) -> Result<()> {
        if let Some(lab) = self.lab.take() {
            lab.down()?;
        }
        self.labs += 1;
        let options = self.lab_options(profile, fresh);
        let cancel = self.options.cancel.clone();
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
        self.lab = Some(lab?);
        Ok(())
    }

    fn finish(&mut self, keep: bool) -> Result<()> {
        let Some(lab) = self.lab.take() else {
            return Ok(());
        };
        if keep {
            serve::keep(lab, self.options.cancel.clone())?;
        } else {
            lab.down()?;
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, time: Duration) -> Result<()> {
        Ok(self.options.cancel.sleep(time)?)
    }

    fn exec(&self, node: &str, argv: &[&str], within: Duration) -> Result<Ran> {
        let out = self.lab()?.exec(node, argv, within)?;
        Ok(Ran {
            status: out.code,
            stdout: out.stdout,
            stderr: out.stderr,
        })
    }

    fn is_on(&self, node: &str) -> bool {
        let machine = self.lab.as_ref().and_then(|lab| lab.machine(node).ok());
        machine.is_some_and(|m| m.power().0 != Power::Off)
    }

    fn power(&mut self, node: &str, switch: Switch) -> Result<()> {
        let button = match switch {
            Switch::On => Button::On,
            Switch::Cut => Button::Cut,
        };
        Ok(serve::press(self.lab()?.machine(node)?, button)?)
    }

    fn capture(&self) -> Result<PathBuf> {
        Ok(self.lab()?.capture()?)
    }

    fn artefacts(&self) -> Vec<Artefact> {
        let Some(lab) = &self.lab else {
            return Vec::new();
        };
        let mut all = vec![Artefact {
            path: lab.events().path().to_owned(),
            name: "events.log".to_owned(),
            about: "power and faults, by the host's clock".to_owned(),
        }];
        for machine in lab.machines() {
            let name = machine.spec.name;
            for (file, about) in [
                ("console.log", "serial console"),
                ("qemu.log", "what its QEMU had to say"),
            ] {
                all.push(Artefact {
                    path: lab.run_dir().join("machines").join(name).join(file),
                    name: format!("machines/{name}/{file}"),
                    about: format!("{name}: {about}"),
                });
            }
        }
        all.retain(|a| a.path.exists());
        all
    }

    fn calibration_path(&self) -> PathBuf {
        let accel = self
            .lab
            .as_ref()
            .map_or("none", |lab| lab.choice().accel.name());
        let name = format!("calibration-{accel}.json");
        ready::cache_dir()
            .unwrap_or_else(|_| self.options.dir.clone())
            .join(name)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts {
            host: host(),
            ..Facts::default()
        };
        let Some(lab) = &self.lab else { return facts };
        facts.accelerator = lab.choice().to_string();
        let tools = &self.options.bundle.tools;
        if let Ok(said) = tools.run("qemu-system-x86_64", &["--version".into()]) {
            let line = String::from_utf8_lossy(&said)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            facts.versions.insert("qemu".to_owned(), line);
        }
        let agent = self
            .options
            .agent
            .as_ref()
            .unwrap_or(&self.options.bundle.agent);
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
