//! Golden states on the share.
//!
//! A golden state never changes: it is written under another name, checked, renamed to its
//! generation, and only then named as the current one. Its files say nothing about themselves, so
//! `meta.toml` does.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VmError;
use crate::cluster::Mac;

const CHUNK: usize = 1 << 20;

/// What a golden state is; its `meta.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The number of the state among those of its VM.
    pub generation: u64,
    /// The VM's host name.
    pub vm: String,
    /// When it was saved, UTC, RFC 3339.
    pub created: String,
    /// The version of QEMU that saved it; only the same one resumes it.
    pub qemu: String,
    /// The VM's own address, set in the state.
    pub ipv: Ipv4Addr,
    /// The hardware address of the VM.
    pub mac: Mac,
    /// Memory of the VM, MiB.
    pub memory_mb: u32,
    /// Processors of the VM.
    pub vcpus: u32,
    /// The file `memory`.
    pub memory: Sum,
    /// The file `disk.qcow2`.
    pub disk: Sum,
    /// The image's disk, which `disk.qcow2` builds on.
    pub image: Version,
}

/// What tells a replaced file from the one before, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Bytes.
    pub length: u64,
    /// When it was changed last, seconds since 1970.
    pub modified: i64,
}

impl Version {
    pub(super) fn of(path: &Path) -> Result<Self, VmError> {
        let found = fs::metadata(path).map_err(VmError::file("find", path))?;
        Ok(Self {
            length: found.len(),
            modified: found.mtime(),
        })
    }
}

/// Length and checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Bytes.
    pub length: u64,
    /// CRC-32 (ISO-HDLC), eight hexadecimal digits.
    pub crc32: String,
}

impl Sum {
    pub(super) fn of(path: &Path) -> Result<Self, VmError> {
        let mut file = File::open(path).map_err(VmError::file("open", path))?;
        sum_of(&mut file, |_| Ok(())).map_err(VmError::file("read", path))
    }

    /// Copies a file to a new one on stable storage; returns what was written.
    pub(super) fn of_copy(from: &Path, to: &Path) -> Result<Self, VmError> {
        let mut source = File::open(from).map_err(VmError::file("open", from))?;
        let mut target = File::create_new(to).map_err(VmError::file("create", to))?;
        sum_of(&mut source, |chunk| target.write_all(chunk))
            .and_then(|sum| target.sync_all().map(|()| sum))
            .map_err(VmError::file("write", to))
    }
}

fn sum_of(file: &mut File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Sum> {
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut length = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => {
                crc.update(&chunk[..read]);
                each(&chunk[..read])?;
                length += read as u64;
            }
        }
    }
    Ok(Sum {
        length,
        crc32: format!("{:08x}", crc.finalize()),
    })
}

/// A golden state that can be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Golden {
    /// Its folder on the share.
    pub dir: PathBuf,
    /// What it is.
    pub meta: Meta,
}

impl Golden {
    /// Finds the current state of a VM. Checks that its files are there in full length, which is
    /// cheap; [`Golden::verify`] reads them.
    ///
    /// # Errors
    /// When there is none, or it is not whole.
    pub fn current(backup: &Path, vm: &str) -> Result<Self, VmError> {
        let pointer = backup.join(vm).join("current");
        let Some(generation) = text(&pointer)?.trim().parse::<u64>().ok() else {
            return Err(unusable(&pointer)("no number of a generation stands there"));
        };
        let dir = backup.join(vm).join(generation.to_string());
        let path = dir.join("meta.toml");
        let meta: Meta = toml::from_str(&text(&path)?).map_err(unusable(&path))?;
        let golden = Self { dir, meta };
        for (path, sum) in golden.files() {
            let found = fs::metadata(&path)
                .map_err(VmError::file("find", &path))?
                .len();
            if found != sum.length {
                let expected = sum.length;
                return Err(unusable(&path)(format!(
                    "{found} bytes, expected {expected}"
                )));
            }
        }
        Ok(golden)
    }

    /// Reads all of the state and compares checksums. Takes seconds.
    ///
    /// # Errors
    /// When a file is damaged.
    pub fn verify(&self) -> Result<(), VmError> {
        for (path, expected) in self.files() {
            let found = Sum::of(&path)?;
            if found != *expected {
                return Err(unusable(&path)(format!(
                    "checksum {}, expected {}; `ringward backup prepare` makes a new state",
                    found.crc32, expected.crc32
                )));
            }
        }
        Ok(())
    }

    pub(super) fn memory(&self) -> PathBuf {
        self.dir.join("memory")
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    fn files(&self) -> [(PathBuf, &Sum); 2] {
        [
            (self.memory(), &self.meta.memory),
            (self.disk(), &self.meta.disk),
        ]
    }
}

/// A golden state in the making; what is not published is removed.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where its files are to be put.
    pub(super) dir: PathBuf,
    pub(super) generation: u64,
    of_vm: PathBuf,
}

impl Draft {
    pub(super) fn begin(backup: &Path, vm: &str) -> Result<Self, VmError> {
        let of_vm = backup.join(vm);
        fs::create_dir_all(&of_vm).map_err(VmError::file("create", &of_vm))?;
        let generation = last_generation(&of_vm)? + 1;
        // Two servers that prepare the same VM at once: the second fails here.
        let dir = of_vm.join(format!(".{generation}.part"));
        fs::create_dir(&dir).map_err(VmError::file(
            "create (if another `ringward backup prepare` was cut off, remove it)",
            &dir,
        ))?;
        Ok(Self {
            dir,
            generation,
            of_vm,
        })
    }

    /// Makes the state the current one.
    pub(super) fn publish(self, meta: &Meta) -> Result<Golden, VmError> {
        let described = toml::to_string(meta).map_err(unusable(&self.dir))?;
        write_durably(&self.dir.join("meta.toml"), &described)?;
        let dir = self.of_vm.join(self.generation.to_string());
        fs::rename(&self.dir, &dir).map_err(VmError::file("name the golden state", &dir))?;
        let (pointer, fresh) = (self.of_vm.join("current"), self.of_vm.join(".current.part"));
        write_durably(&fresh, &format!("{}\n", self.generation))?;
        fs::rename(&fresh, &pointer).map_err(VmError::file("replace", &pointer))?;
        Ok(Golden {
            dir,
            meta: meta.clone(),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once published there is nothing of this name.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn last_generation(of_vm: &Path) -> Result<u64, VmError> {
    let mut last = 0;
    for entry in fs::read_dir(of_vm).map_err(VmError::file("list", of_vm))? {
        let entry = entry.map_err(VmError::file("list", of_vm))?;
        if let Some(generation) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            last = last.max(generation);
        }
    }
    Ok(last)
}

fn write_durably(path: &Path, text: &str) -> Result<(), VmError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(VmError::file("write", path))
}

pub(super) fn text(path: &Path) -> Result<String, VmError> {
    fs::read_to_string(path).map_err(VmError::file("read", path))
}

pub(super) fn unusable<R: ToString>(path: &Path) -> impl FnOnce(R) -> VmError + use<R> {
    let path = path.to_owned();
    move |reason| VmError::Unusable {
        path,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(draft: &Draft) -> Meta {
        let sum = |name: &str| Sum::of(&draft.dir.join(name)).unwrap();
        Meta {
            generation: draft.generation,
            vm: "ftpb".into(),
            created: "2026-01-02T03:04:05Z".into(),
            qemu: "10.0.2".into(),
            ipv: Ipv4Addr::new(172, 21, 14, 103),
            mac: Mac([0, 0, 0, 0, 1, 3]),
            memory_mb: 256,
            vcpus: 1,
            memory: sum("memory"),
            disk: sum("disk.qcow2"),
            image: Version {
                length: 9,
                modified: 1_700_000_000,
            },
        }
    }

    fn draft(backup: &Path, memory: &str) -> Draft {
        let draft = Draft::begin(backup, "ftpb").unwrap();
        fs::write(draft.dir.join("memory"), memory).unwrap();
        fs::write(draft.dir.join("disk.qcow2"), "disk").unwrap();
        draft
    }

    #[test]
    fn a_state_is_published_whole_and_numbered() {
        let dir = tempfile::tempdir().unwrap();
        for generation in 1..=2 {
            let draft = draft(dir.path(), "123456789");
            let golden = draft_and_check(draft, dir.path());
            assert_eq!(golden.meta.generation, generation);
            assert_eq!(golden.meta.memory.crc32, "cbf43926");
        }
        let names = fs::read_dir(dir.path().join("ftpb")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["1", "2", "current"]);
    }

    fn draft_and_check(draft: Draft, backup: &Path) -> Golden {
        let meta = meta(&draft);
        let golden = draft.publish(&meta).unwrap();
        assert_eq!(Golden::current(backup, "ftpb").unwrap(), golden);
        golden.verify().unwrap();
        golden
    }

    #[test]
    fn the_description_of_a_state() {
        let dir = tempfile::tempdir().unwrap();
        let draft = draft(dir.path(), "123456789");
        insta::assert_snapshot!(toml::to_string(&meta(&draft)).unwrap());
    }

    #[test]
    fn damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let error = Golden::current(dir.path(), "ftpb").unwrap_err().to_string();
        assert!(error.ends_with("ftpb/current"), "{error}");
        let draft = draft(dir.path(), "123456789");
        let meta = meta(&draft);
        let golden = draft.publish(&meta).unwrap();
        fs::write(golden.memory(), "12345678X").unwrap();
        assert!(Golden::current(dir.path(), "ftpb").is_ok());
        let error = golden.verify().unwrap_err().to_string();
        assert!(error.contains("expected cbf43926"), "{error}");
        fs::write(golden.memory(), "12345").unwrap();
        let error = Golden::current(dir.path(), "ftpb").unwrap_err().to_string();
        assert!(error.ends_with("memory: 5 bytes, expected 9"), "{error}");
    }

    #[test]
    fn an_unfinished_state_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = draft(dir.path(), "x");
        let second = Draft::begin(dir.path(), "ftpb").unwrap_err().to_string();
        assert!(
            second.contains("another `ringward backup prepare`"),
            "{second}"
        );
        drop(unfinished);
        assert_eq!(fs::read_dir(dir.path().join("ftpb")).unwrap().count(), 0);
    }
}
