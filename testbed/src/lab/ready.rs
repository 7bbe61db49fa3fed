//! Ready labs kept on disk: what is booted and prepared once is loaded in seconds ever after.
//!
//! A ready lab is a [`DiskSet`] with the memory of every machine, in
//! `${XDG_CACHE_HOME:-~/.cache}/ringward/ready/KEY`. The key is a digest of everything that went
//! into it, so a changed input simply is another lab. It is made under another name beside its
//! place and renamed when it is whole: a lab that broke off is never taken for a ready one.

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
/// Ready labs kept, counting the newest.
const KEPT: usize = 2;
/// Room that a lab needs while it is made: the share's images, golden states, memories.
const NEEDED_MB: u64 = 8 << 10;

/// The place of one ready lab.
#[derive(Debug, Clone)]
pub struct Ready {
    all: PathBuf,
    key: String,
}

impl Ready {
    /// The place for a lab of these inputs.
    pub fn place(bundle: &Bundle, agent: &Path, settings: &str, accel: Accel) -> Result<Ready> {
        let mut hash = Context::new(&SHA256);
        let agent = std::fs::read(agent).map_err(LabError::io("read", agent))?;
        let machines = format!("{MACHINES:?} {DEVICES_VERSION} {:?}", accel.args());
        for input in [
            bundle.text.as_bytes(),
            &agent,
            settings.as_bytes(),
            machines.as_bytes(),
        ] {
            hash.update(&(input.len() as u64).to_be_bytes());
            hash.update(input);
        }
        let digest = hash.finish();
        let key = digest.as_ref()[..8]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Ok(Ready {
            all: cache_dir()?.join("ready"),
            key,
        })
    }

    /// The ready lab, if there is one.
    pub fn set(&self) -> Option<DiskSet> {
        let dir = self.dir();
        dir.join("memory").is_dir().then(|| DiskSet::at(&dir))
    }

    /// Where it is, or would be.
    pub fn dir(&self) -> PathBuf {
        self.all.join(&self.key)
    }

    /// An empty directory to make it in, if there is room.
    pub fn begin(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.all).map_err(LabError::io("create", &self.all))?;
        self.clean()?;
        volume::need_room(&self.all, NEEDED_MB, "a ready lab", "XDG_CACHE_HOME")?;
        let dir = self.all.join(format!("part-{}", self.key));
        std::fs::create_dir_all(&dir).map_err(LabError::io("create", &dir))?;
        Ok(dir)
    }

    /// Removes what attempts that failed have left; the lock on the lab says that none is under way.
    pub fn clean(&self) -> Result<()> {
        for dir in self.entries(|name| name.starts_with("part-"))? {
            std::fs::remove_dir_all(&dir).map_err(LabError::io("remove", &dir))?;
        }
        Ok(())
    }

    /// The lab made in `part` is whole: it takes its place, and the oldest others go.
    pub fn finish(&self, part: &Path) -> Result<DiskSet> {
        let dir = self.dir();
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(LabError::io("remove", &dir))?;
        }
        std::fs::rename(part, &dir).map_err(LabError::io("rename", part))?;
        let mut all = self.entries(|name| !name.starts_with("part-"))?;
        all.sort_by_key(|d| std::fs::metadata(d).and_then(|m| m.modified()).ok());
        for old in all.iter().rev().skip(KEPT).filter(|d| **d != dir) {
            std::fs::remove_dir_all(old).map_err(LabError::io("remove", old))?;
        }
        Ok(DiskSet::at(&dir))
    }

    fn entries(&self, keep: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
        let read = std::fs::read_dir(&self.all).map_err(LabError::io("read", &self.all))?;
        let kept = read
            .flatten()
            .filter(|e| e.file_name().to_str().is_some_and(&keep));
        Ok(kept.map(|e| e.path()).collect())
    }
}

/// The user's cache directory for Ringward.
pub fn cache_dir() -> Result<PathBuf> {
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

    fn place(dir: &Path, key: &str) -> Ready {
        Ready {
            all: dir.to_owned(),
            key: key.to_owned(),
        }
    }

    #[test]
    fn a_lab_is_there_when_it_is_whole_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("part-broken")).unwrap();
        for key in ["a", "b", "c"] {
            let ready = place(dir.path(), key);
            let part = dir.path().join(format!("part-{key}"));
            std::fs::create_dir_all(part.join("memory")).unwrap();
            assert!(ready.set().is_none());
            ready.finish(&part).unwrap();
            assert!(ready.set().is_some());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(place(dir.path(), "a").set().is_none());
        assert!(place(dir.path(), "b").set().is_some());
    }
}
