//! The flag file (paper, section 2.3): while it exists, this server manages others and may serve.
//!
//! It is on the local disk and stays over a restart: a server that comes back after trouble starts
//! its node, which is passive until the others let it serve. It goes away only when an operator
//! takes the server out (`ringward flag clear`), and comes back by `ringward flag set` or by the
//! flag message of a manager.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Whether the flag is set.
///
/// # Errors
/// When the directory cannot be looked into; that is not the same as "gone".
pub fn is_set(flag: &Path) -> io::Result<bool> {
    flag.try_exists()
}

/// Sets the flag, now and after a restart. True if it was not set before.
///
/// # Errors
/// What the file system said.
pub fn set(flag: &Path) -> io::Result<bool> {
    if let Some(directory) = flag.parent() {
        fs::create_dir_all(directory)?;
    }
    match File::create_new(flag) {
        Ok(file) => {
            file.sync_all()?;
            sync_directory(flag)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Clears the flag, now and after a restart. True if it was set before.
///
/// # Errors
/// What the file system said.
pub fn clear(flag: &Path) -> io::Result<bool> {
    match fs::remove_file(flag) {
        Ok(()) => {
            sync_directory(flag)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_directory(flag: &Path) -> io::Result<()> {
    flag.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_and_clearing_tell_whether_something_changed() {
        let directory = tempfile::tempdir().unwrap();
        let flag = directory.path().join("state/flag");
        assert!(!is_set(&flag).unwrap());
        assert!(!clear(&flag).unwrap());
        assert!(set(&flag).unwrap());
        assert!(!set(&flag).unwrap());
        assert!(is_set(&flag).unwrap());
        assert!(clear(&flag).unwrap());
        assert!(!is_set(&flag).unwrap());
    }
}
