//! The disks of all machines as a set in one directory: made once, then stood upon.
//!
//! ```text
//! DIR/ftp/root.qcow2      stands on the image in the store
//! DIR/ftp/site.img        the site medium
//! DIR/file1/share.raw     the share as it was made; DIR/file1/share.qcow2 stands on it
//! DIR/memory/ftp          memory and devices, if the set belongs to a saved lab
//! DIR/release.key         signs releases of the agent for these machines
//! ```
//!
//! A set can be moved as a whole, since within it overlays name what they stand on by file name.

use super::bundle::{Bundle, Toolbox};
use super::error::{LabError, Result};
use super::network::Spec;
use super::qemu::Disk;
use super::site::Site;
use super::volume::{self, Backing};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Room on the share for two generations of golden states and logs; sparse.
const SHARE_MB: u64 = 16 << 10;
/// Room for the users' data; sparse.
const DATA_MB: u64 = 8 << 10;

/// A set of disks.
#[derive(Debug, Clone)]
pub struct DiskSet {
    dir: PathBuf,
}

impl DiskSet {
    /// The set in `dir`.
    pub fn at(dir: &Path) -> DiskSet {
        DiskSet {
            dir: dir.to_owned(),
        }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key that releases of the agent are signed with for these machines.
    pub fn release_key(&self) -> PathBuf {
        self.dir.join("release.key")
    }

    /// Keeps that key, for an agent that comes later.
    pub fn keep_release_key(&self, site: &Site) -> Result<()> {
        let path = self.release_key();
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(site.release_key().as_bytes()))
            .map_err(LabError::io("write", &path))
    }

    /// Where the memory of a saved machine is.
    pub fn memory(&self, machine: &str) -> PathBuf {
        self.dir.join("memory").join(machine)
    }

    /// Makes the disks of one machine anew.
    pub fn make(&self, spec: &Spec, site: &Site, bundle: &Bundle) -> Result<()> {
        let (dir, tools) = (self.dir.join(spec.name), &bundle.tools);
        create(&dir)?;
        let image = bundle.image(spec.name)?.file("disk.qcow2");
        volume::overlay(tools, &dir.join("root.qcow2"), &Backing::At(image, "qcow2"))?;
        volume::site(tools, &dir.join("site.img"), &site.medium(spec)?)?;
        match spec.name {
            "file1" => {
                let scratch = tempfile::tempdir_in(&dir)
                    .map_err(LabError::io("make a directory in", &dir))?;
                let entries = site.share(bundle, scratch.path())?;
                volume::ext4(tools, &dir.join("share.raw"), "SHARE", SHARE_MB, &entries)?;
            }
            "file2" => {
                volume::ext4(tools, &dir.join("data.raw"), "DATA", DATA_MB, &site.data())?;
            }
            _ => return Ok(()),
        }
        let (overlay, raw) = match spec.name {
            "file1" => ("share.qcow2", "share.raw"),
            _ => ("data.qcow2", "data.raw"),
        };
        volume::overlay(tools, &dir.join(overlay), &Backing::Beside(raw, "raw"))
    }

    /// The disks of one machine, to be written to as they are.
    pub fn disks(&self, machine: &str) -> Vec<Disk> {
        let dir = self.dir.join(machine);
        let mut disks = vec![Disk {
            name: "root",
            file: dir.join("root.qcow2"),
        }];
        disks.push(Disk {
            name: "site",
            file: dir.join("site.img"),
        });
        for (of, name) in [("file1", "share"), ("file2", "data")] {
            if of == machine {
                disks.push(Disk {
                    name,
                    file: dir.join(format!("{name}.qcow2")),
                });
            }
        }
        disks
    }

    /// The disks of one machine with new overlays in `to`, so that this set stays as it is.
    pub fn stand_on(&self, machine: &str, to: &Path, tools: &Toolbox) -> Result<Vec<Disk>> {
        let dir = to.join(machine);
        create(&dir)?;
        let mut disks = self.disks(machine);
        for disk in &mut disks {
            let leaf = disk.file.file_name().map(PathBuf::from).unwrap_or_default();
            let beneath = std::mem::replace(&mut disk.file, dir.join(leaf));
            if disk.name == "site" {
                // Small and never written to.
                std::fs::copy(&beneath, &disk.file).map_err(LabError::io("copy", &beneath))?;
            } else {
                volume::overlay(tools, &disk.file, &Backing::At(beneath, "qcow2"))?;
            }
        }
        Ok(disks)
    }
}

fn create(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(LabError::io("create", dir))
}
