//! A directory held open, in which files are found by name without a walk from the root.
//!
//! The share keeps nothing of what it was told (`lookupcache=none,actimeo=0`), so each step of a
//! path is two questions to the file server: where it leads, and whether what is there is still as
//! it was. To replace a file takes five names in the same directory.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::files::nonce;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    /// The kernel's name for what is open: it leads there by one step, wherever that is.
    here: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let here = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { file, here })
    }

    /// The directory that `path` is in, and its name there.
    pub(super) fn of(path: &Path) -> io::Result<(Self, String)> {
        match (path.parent(), path.file_name()) {
            (Some(directory), Some(name)) => {
                Ok((Self::open(directory)?, name.to_string_lossy().into_owned()))
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A path to what is called so in it, for as long as this is open.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.here.join(name)
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The names in it, sorted, without those of temporary files.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at("."))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Writes and syncs a temporary file that is to become `name`; on error nothing is left behind.
    pub(super) fn write_temporary(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let temporary = self.at(&temporary_name(name)?);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Ok(temporary)
    }

    /// Makes renames and links in it last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// A name that nobody else uses and that [`Directory::names`] hides.
pub(super) fn temporary_name(name: &str) -> io::Result<String> {
    Ok(format!(".{name}.{}", nonce()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_found_wherever_it_goes() {
        let root = tempfile::tempdir().unwrap();
        let (before, after) = (root.path().join("before"), root.path().join("after"));
        fs::create_dir(&before).unwrap();
        let (directory, name) = Directory::of(&before.join("group")).unwrap();
        fs::rename(&before, &after).unwrap();
        let temporary = directory.write_temporary(&name, b"1 mail").unwrap();
        assert_eq!(directory.names().unwrap(), [""; 0]);
        fs::rename(temporary, directory.at(&name)).unwrap();
        directory.sync().unwrap();
        assert_eq!(directory.names().unwrap(), ["group"]);
        assert_eq!(fs::read(after.join("group")).unwrap(), b"1 mail");
    }

    #[test]
    fn a_root_is_in_no_directory() {
        let error = Directory::of(Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
