//! Making the disks of machines from files, without root: vfat, ext4, and overlays on either.

use super::bundle::Toolbox;
use super::error::{LabError, Result};
use super::tar::{self, Entry};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Size of a site medium.
const SITE_KB: &str = "4096";

/// Makes a vfat volume labelled RINGWARD with these files.
pub fn site(tools: &Toolbox, file: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let scratch = tempfile::tempdir_in(parent(file))
        .map_err(LabError::io("make a directory beside", file))?;
    let mut sources = Vec::new();
    for (name, content) in files {
        let path = scratch.path().join(name);
        std::fs::write(&path, content).map_err(LabError::io("write", &path))?;
        sources.push(path.into_os_string());
    }
    let words = ["-n", "RINGWARD", "-C"].map(OsString::from);
    let make = [&words[..], &[file.into(), SITE_KB.into()]].concat();
    tools.run("mkfs.vfat", &make)?;
    let copy = [&["-i".into(), file.into()][..], &sources, &["::".into()]].concat();
    tools.run("mcopy", &copy).map(drop)
}

/// Makes an ext4 volume of `size_mb`, sparse, with these files.
pub fn ext4(
    tools: &Toolbox,
    file: &Path,
    label: &str,
    size_mb: u64,
    entries: &[Entry],
) -> Result<()> {
    let made = std::fs::File::create(file).and_then(|f| f.set_len(size_mb << 20));
    made.map_err(LabError::io("make", file))?;
    let words = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-m",
        "0",
        "-E",
        "root_owner=0:0",
        "-L",
        label,
    ];
    let mut args: Vec<OsString> = words.map(OsString::from).to_vec();
    args.extend(["-d".into(), "-".into(), file.into()]);
    tools
        .run_with("mke2fs", &args, |stdin| tar::write(entries, stdin))
        .map(drop)
}

/// How an overlay names what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// By its full path.
    At(PathBuf, &'static str),
    /// By its name in the overlay's own directory, so that both can move together.
    Beside(&'static str, &'static str),
}

/// Makes a qcow2 overlay: it takes what is written, and the file beneath stays as it is.
pub fn overlay(tools: &Toolbox, file: &Path, backing: &Backing) -> Result<()> {
    let (beneath, format) = match backing {
        Backing::At(path, format) => (path.clone().into_os_string(), format),
        Backing::Beside(name, format) => (OsString::from(name), format),
    };
    let mut args = ["create", "-q", "-f", "qcow2", "-F", format, "-b"]
        .map(OsString::from)
        .to_vec();
    args.extend([beneath, file.into()]);
    tools.run("qemu-img", &args).map(drop)
}

/// Megabytes that this user can still write where `path` is, or will be.
pub fn free_mb(path: &Path) -> Result<u64> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(path);
    let stat = nix::sys::statvfs::statvfs(there)
        .map_err(|e| LabError::io("look at the room in", there)(e.into()))?;
    Ok((stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64) >> 20)
}

/// An error if less than `need_mb` is free; `what` needs it, and `setting` can point elsewhere.
pub fn need_room(
    path: &Path,
    need_mb: u64,
    what: &'static str,
    setting: &'static str,
) -> Result<()> {
    let free_mb = free_mb(path)?;
    if free_mb >= need_mb {
        return Ok(());
    }
    Err(LabError::NoRoom {
        what,
        path: path.to_owned(),
        need_mb,
        free_mb,
        setting,
    })
}

fn parent(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_said_with_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not/yet/there");
        assert!(need_room(&path, 1, "a lab", "--run-dir").is_ok());
        let error = need_room(&path, 1 << 40, "a lab", "--run-dir")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("not enough room for a lab in "),
            "{error}"
        );
        assert!(error.contains("1099511627776 MB needed"), "{error}");
        assert!(
            error.ends_with("or set --run-dir to a place that has it"),
            "{error}"
        );
    }
}
