//! One lab at a time for each user: nine machines fill a host, and addresses are fixed.

use super::error::{LabError, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Held as long as a lab is up. The kernel lets go of it however its holder ends.
#[derive(Debug)]
pub struct LabLock {
    _file: Flock<File>,
}

impl LabLock {
    /// Takes the lock in `dir`; `what` tells others what this process does.
    pub fn take(dir: &Path, what: &str) -> Result<LabLock> {
        let path = dir.join("lock");
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let file = file.map_err(LabError::io("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                let text = format!("{}\n{what}\n", std::process::id());
                let written = file
                    .set_len(0)
                    .and_then(|()| file.seek(SeekFrom::Start(0)))
                    .and_then(|_| file.write_all(text.as_bytes()));
                written.map_err(LabError::io("write", &path))?;
                Ok(LabLock { _file: file })
            }
            Err((mut file, _)) => {
                let mut text = String::new();
                // What cannot be read is left unsaid.
                let _ = file.read_to_string(&mut text);
                let mut lines = text.lines().map(str::to_owned);
                let (pid, what) = (lines.next(), lines.next());
                Err(LabError::Busy {
                    pid: pid.unwrap_or_else(|| "unknown".to_owned()),
                    what: what.unwrap_or_else(|| "starting".to_owned()),
                })
            }
        }
    }
}

/// This user's directory for the lock and for sockets. Its name is short, since the path of a
/// socket must not exceed 107 octets, and it is nobody else's.
pub fn runtime_dir() -> Result<PathBuf> {
    let from_env = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usable = from_env.filter(|d| d.is_dir() && d.as_os_str().len() < 60);
    let uid = nix::unistd::Uid::effective();
    let dir = match usable {
        Some(dir) => dir.join("ringward"),
        None => PathBuf::from(format!("/tmp/ringward-{uid}")),
    };
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(LabError::io("create", &dir))?;
    let found = std::fs::symlink_metadata(&dir).map_err(LabError::io("look at", &dir))?;
    if !found.is_dir() || found.uid() != uid.as_raw() || found.permissions().mode() & 0o077 != 0 {
        let dir = dir.display();
        let why = format!("{dir} must be a directory of yours that only you can enter; remove it");
        return Err(LabError::Other(why));
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lab_is_told_who_has_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = LabLock::take(dir.path(), "lab up").unwrap();
        let error = LabLock::take(dir.path(), "run nt2")
            .unwrap_err()
            .to_string();
        let expected = format!(
            "a lab is already running (process {}, lab up)",
            std::process::id()
        );
        assert!(error.starts_with(&expected), "{error}");
        drop(first);
        assert!(LabLock::take(dir.path(), "run nt2").is_ok());
    }
}
