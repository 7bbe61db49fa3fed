//! Labs kept on disk: what is booted and prepared once is loaded in seconds ever after.
//!
//! ```text
//! ${XDG_CACHE_HOME:-~/.cache}/ringward/ready/INPUTS/prepared      booted, golden states made
//!                                                  /AGENT         its managers tried out as well
//!                                                  /calibration.json
//! ```
//!
//! Each stage is a [`DiskSet`] with the memory of every machine; a ready lab stands on the prepared
//! one, of which it needs the disks only: the memory is kept for other agents, once there is one.
//! INPUTS is a digest of everything that went into it but the agent that the share hands out, AGENT one
//! of that and of how managers are left. So a changed input simply is another lab, and a changed agent
//! comes to a prepared one as a new release, as it would to a real one. A stage is made under another name
//! beside its place and renamed when it is whole: what broke off is never taken for one.

use super::accel::Accel;
use super::bringup::in_parallel;
use super::bundle::Bundle;
use super::cancel::Cancel;
use super::disks::DiskSet;
use super::error::{LabError, Result};
use super::machine::Machine;
use super::network::MACHINES;
use super::progress::{Listener, Step};
use super::qemu::DEVICES_VERSION;
use super::volume;
use ring::digest::{Context, SHA256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Saving or loading one machine takes 0.2-3 s on an idle host.
const STATE_WITHIN: Duration = Duration::from_secs(120);
/// Labs of different inputs kept, counting the newest.
const KEPT: usize = 2;
/// Room that a stage needs while it is made: the share's images, golden states, memories.
const NEEDED_MB: u64 = 8 << 10;
/// How a ready lab is left.
const LEFT: &[u8] = b"managers at rest, golden states loaded";
/// The stage that a ready lab stands on.
const PREPARED: &str = "prepared";

/// The place of one stage of a lab.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Labs of all inputs.
    all: PathBuf,
    /// The digest of these.
    inputs: String,
    stage: String,
}

impl Ready {
    /// The place for the prepared lab of these inputs.
    pub fn prepared(bundle: &Bundle, settings: &str, accel: Accel) -> Result<Ready> {
        let machines = format!("{MACHINES:?} {DEVICES_VERSION} {:?}", accel.args());
        let inputs = [
            bundle.text.as_bytes(),
            settings.as_bytes(),
            machines.as_bytes(),
        ];
        Ok(Ready {
            all: cache_dir()?.join("ready"),
            inputs: digest(&inputs),
            stage: PREPARED.to_owned(),
        })
    }

    /// The place for the ready lab that stands on this prepared one and runs `agent`.
    pub fn with_agent(&self, agent: &Path) -> Result<Ready> {
        let agent = std::fs::read(agent).map_err(LabError::io("read", agent))?;
        let stage = digest(&[&agent, LEFT]);
        Ok(Ready {
            stage,
            ..self.clone()
        })
    }

    /// The lab, if there is one.
    pub fn set(&self) -> Option<DiskSet> {
        let dir = self.stages().join(&self.stage);
        dir.join("memory").is_dir().then(|| DiskSet::at(&dir))
    }

    /// The file for what was measured of its machines.
    pub fn calibration(&self) -> PathBuf {
        self.stages().join("calibration.json")
    }

    fn stages(&self) -> PathBuf {
        self.all.join(&self.inputs)
    }

    /// An empty directory to make it in, if there is room.
    pub fn begin(&self) -> Result<PathBuf> {
        let stages = self.stages();
        std::fs::create_dir_all(&stages).map_err(LabError::io("create", &stages))?;
        self.clean()?;
        volume::need_room(&self.all, NEEDED_MB, "a ready lab", "XDG_CACHE_HOME")?;
        let dir = stages.join(format!("part-{}", self.stage));
        std::fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
        Ok(dir)
    }

    /// Removes what attempts that failed have left; the lock on the lab says that none is under way.
    pub fn clean(&self) -> Result<()> {
        for inputs in entries(&self.all, |_| true)? {
            for dir in entries(&inputs, |name| name.starts_with("part-"))? {
                remove(&dir)?;
            }
        }
        Ok(())
    }

    /// The lab made in `part` is whole: it takes its place. What stood on the one before goes, and
    /// so do the labs of the oldest inputs.
    pub fn finish(&self, part: &Path) -> Result<DiskSet> {
        let stages = self.stages();
        let goes = |name: &str| name == self.stage || self.stage == PREPARED || name != PREPARED;
        for dir in entries(&stages, |name| !name.starts_with("part-") && goes(name))? {
            remove(&dir)?;
        }
        let dir = stages.join(&self.stage);
        std::fs::rename(part, &dir).map_err(LabError::io("rename", part))?;
        let mut all = entries(&self.all, |name| name != self.inputs)?;
        all.sort_by_key(|d| std::fs::metadata(d).and_then(|m| m.modified()).ok());
        for old in all.iter().rev().skip(KEPT - 1) {
            remove(old)?;
        }
        Ok(DiskSet::at(&dir))
    }

    /// Keeps the disks alone, for the lab that stands on them: this one is no longer there to be loaded.
    pub fn forget_memory(&self) -> Result<()> {
        let stages = self.stages();
        let memory = stages.join(&self.stage).join("memory");
        let gone = stages.join("part-memory");
        std::fs::rename(&memory, &gone).map_err(LabError::io("rename", &memory))?;
        remove(&gone)
    }
}

fn digest(inputs: &[&[u8]]) -> String {
    let mut hash = Context::new(&SHA256);
    for input in inputs {
        hash.update(&(input.len() as u64).to_be_bytes());
        hash.update(input);
    }
    let digest = hash.finish();
    let bytes = &digest.as_ref()[..8];
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The directories in `dir` whose names are to be kept.
fn entries(dir: &Path, keep: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(dir).map_err(LabError::io("read", dir))?;
    let kept = read
        .flatten()
        .filter(|e| e.path().is_dir() && e.file_name().to_str().is_some_and(&keep));
    Ok(kept.map(|e| e.path()).collect())
}

fn remove(dir: &Path) -> Result<()> {
    std::fs::remove_dir_all(dir).map_err(LabError::io("remove", dir))
}

/// The user's cache directory for Ringward.
fn cache_dir() -> Result<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let cache = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    let none = "neither XDG_CACHE_HOME nor HOME is set: set one, to keep the ready lab in";
    cache
        .map(|c| c.join("ringward"))
        .ok_or_else(|| LabError::Other(none.to_owned()))
}

/// Stops all machines at one moment and saves them; their processes end.
pub fn save(
    machines: &[Arc<Machine>],
    set: &DiskSet,
    at_once: usize,
    tell: &Listener,
) -> Result<()> {
    let start = Instant::now();
    tell("lab", Step::Begins("saving the ready state".to_owned()));
    let memory = set.memory("");
    std::fs::create_dir_all(&memory).map_err(LabError::io("create", &memory))?;
    in_parallel(machines, machines.len(), |m| {
        m.monitor()?
            .command("stop", serde_json::json!({}))
            .map(drop)
    })?;
    in_parallel(machines, at_once, |m| {
        m.monitor()?.save(&set.memory(m.spec.name), STATE_WITHIN)?;
        // In order, so that QEMU writes out what it keeps of its disks.
        m.monitor()?.command("quit", serde_json::json!({}))?;
        m.wait_saved(STATE_WITHIN)
    })?;
    let took = start.elapsed().as_secs_f64();
    tell(
        "lab",
        Step::Done(format!("ready state saved in {took:.1} s")),
    );
    Ok(())
}

/// Loads all machines, lets them go on at one moment, and sets their clocks.
pub fn restore(
    machines: &[Arc<Machine>],
    set: &DiskSet,
    at_once: usize,
    cancel: &Cancel,
    tell: &Listener,
) -> Result<()> {
    let start = Instant::now();
    tell("lab", Step::Begins("loading the ready state".to_owned()));
    in_parallel(machines, at_once, |m| {
        cancel.check()?;
        m.incoming()?;
        m.monitor()?.load(&set.memory(m.spec.name), STATE_WITHIN)
    })?;
    in_parallel(machines, machines.len(), |m| {
        m.monitor()?
            .command("cont", serde_json::json!({}))
            .map(drop)
    })?;
    in_parallel(machines, machines.len(), |m| {
        m.monitor()?.announce()?;
        m.wait_guest(cancel, STATE_WITHIN)?;
        m.guest.set_time()
    })?;
    let took = start.elapsed().as_secs_f64();
    tell(
        "lab",
        Step::Done(format!("ready state loaded in {took:.1} s")),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path, inputs: &str, stage: &str) -> Ready {
        Ready {
            all: dir.to_owned(),
            inputs: inputs.to_owned(),
            stage: stage.to_owned(),
        }
    }

    fn make(place: &Ready) {
        let part = place.begin().unwrap();
        std::fs::create_dir_all(part.join("memory")).unwrap();
        assert!(place.set().is_none());
        place.finish(&part).unwrap();
        assert!(place.set().is_some());
        std::thread::sleep(Duration::from_millis(20));
    }

    #[test]
    fn a_lab_is_there_when_it_is_whole_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("x/part-broken")).unwrap();
        for inputs in ["a", "b", "c"] {
            make(&place(dir.path(), inputs, PREPARED));
        }
        assert!(!dir.path().join("x").exists());
        assert!(place(dir.path(), "a", PREPARED).set().is_none());
        assert!(place(dir.path(), "b", PREPARED).set().is_some());
    }

    #[test]
    fn a_ready_lab_goes_with_the_prepared_one_that_it_stands_on() {
        let dir = tempfile::tempdir().unwrap();
        let stage = |name| place(dir.path(), "a", name);
        make(&stage(PREPARED));
        make(&stage("old agent"));
        make(&stage("agent"));
        assert!(stage("old agent").set().is_none());
        assert!(stage(PREPARED).set().is_some());
        let part = stage(PREPARED).begin().unwrap();
        std::fs::create_dir_all(part.join("memory")).unwrap();
        stage(PREPARED).finish(&part).unwrap();
        assert!(stage("agent").set().is_none());
    }

    #[test]
    fn a_prepared_lab_without_memory_is_none_but_carries_the_ready_one() {
        let dir = tempfile::tempdir().unwrap();
        let stage = |name| place(dir.path(), "a", name);
        make(&stage(PREPARED));
        make(&stage("agent"));
        stage(PREPARED).forget_memory().unwrap();
        assert!(stage(PREPARED).set().is_none());
        assert!(stage("agent").set().is_some());
        assert!(dir.path().join("a").join(PREPARED).is_dir());
        assert!(!dir.path().join("a/part-memory").exists());
    }
}
