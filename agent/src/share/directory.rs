//! A directory held open, in which files are found by name without a walk from the root.
//!
//! The share keeps nothing of what it was told (`lookupcache=none,actimeo=0`), so each step of a
//! path is two questions to the file server: where it leads, and whether what is there is still as
//! it was. To replace a file takes five names in the same directory.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, RawDir, SeekFrom, linkat, openat, renameat, seek, unlinkat,
};

use super::READ_LIMIT_BYTES;
use super::files::nonce;

/// Takes the names of a hundred files at once.
const LISTING_BYTES: usize = 4096;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory(File);

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
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

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    /// The names in it, sorted, without those of temporary files. For one caller at a time: what is
    /// open has one place up to which it was read.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        seek(&self.0, SeekFrom::Start(0))?;
        let mut buffer = [MaybeUninit::uninit(); LISTING_BYTES];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if !name.starts_with('.') {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All bytes of a file in it, at most [`READ_LIMIT_BYTES`].
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        read_limited(openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Writes and syncs a temporary file that is to become `name`, and returns its name; on error
    /// nothing is left behind.
    pub(super) fn write_temporary(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        let temporary = temporary_name(name)?;
        // Not `EXCL`, nobody else has this name: over NFS that takes one more synchronous write.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let written = openat(&self.0, &temporary, flags, Mode::from_raw_mode(0o666))
            .map_err(io::Error::from)
            .and_then(|file: OwnedFd| {
                let mut file = File::from(file);
                file.write_all(bytes)?;
                file.sync_all()
            });
        if let Err(error) = written {
            let _ = self.remove(&temporary);
            return Err(error);
        }
        Ok(temporary)
    }

    /// Gives the file `from` the name `to`, in place of what has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives the file `from` a second name, which must not be taken.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(linkat(&self.0, from, &self.0, to, AtFlags::empty())?)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes renames and links in it last.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// All bytes of a file, at most [`READ_LIMIT_BYTES`].
pub(super) fn read_limited(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(READ_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_LIMIT_BYTES {
        let text = format!("larger than {READ_LIMIT_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// A name that nobody else uses and that [`Directory::names`] hides.
pub(super) fn temporary_name(name: &str) -> io::Result<String> {
    Ok(format!(".{name}.{}", nonce()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        directory.rename(&temporary, &name).unwrap();
        directory.sync().unwrap();
        assert_eq!(directory.names().unwrap(), ["group"]);
        assert_eq!(directory.read("group").unwrap(), b"1 mail");
        assert_eq!(fs::read(after.join("group")).unwrap(), b"1 mail");
        let taken = directory.link(&name, &name).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        directory.link(&name, "second").unwrap();
        directory.remove(&name).unwrap();
        assert_eq!(directory.names().unwrap(), ["second"]);
    }

    /// More names than one question to the kernel brings.
    #[test]
    fn all_names_are_listed_each_time() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        let names: Vec<String> = (1000..2000).map(|n| format!("{n}.claim")).collect();
        for name in &names {
            fs::write(root.path().join(name), "").unwrap();
        }
        for _ in 0..2 {
            assert_eq!(directory.names().unwrap(), names);
        }
    }

    #[test]
    fn a_root_is_in_no_directory() {
        let error = Directory::of(Path::new("/")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
