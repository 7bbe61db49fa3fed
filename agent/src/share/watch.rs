//! Looking for the newest claim again and again, at the cost of one question while nothing changes.
//!
//! Every server looks on the share all the time whether somebody claimed its function. So the
//! directory stays open, and `fstat` tells whether it is as it was when it was last read: to make,
//! link, replace or remove a file in it sets its times, and so does to rename it. On the share that
//! is one GETATTR. A function that nobody ever claimed has no directory; then it is the directory
//! above that must be as it was.
//!
//! A file server's clock for these times moves in steps, and two changes within one step leave the
//! same times. So what was read counts only if the reading began [`STEP`] after the times were
//! first seen here: a later change has others.
//!
//! Whatever else is found (an error, other times, another directory) it is opened anew, by name, and
//! all is read.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::claims::{ClaimSeen, newest_of};
use super::directory::Directory;

/// More than a step of a file server's clock, which is up to 10 ms.
const STEP: Duration = Duration::from_millis(100);

/// The directories that are looked at, by name.
#[derive(Default)]
pub(super) struct Watches(Mutex<HashMap<PathBuf, Watch>>);

impl Watches {
    /// The newest claim in the directory of a function.
    pub(super) fn newest(&self, path: &Path) -> io::Result<Option<ClaimSeen>> {
        // Taken out meanwhile: whoever comes while this hangs, or after it failed, goes by name.
        let before = self.lock().remove(path);
        let watch = match before {
            Some(watch) if watch.still_holds() => watch,
            before => Watch::begin(path, before.as_ref())?,
        };
        let newest = watch.newest.clone();
        let other = self.lock().insert(path.to_owned(), watch);
        // Closes a directory: not under the lock.
        drop(other);
        Ok(newest)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Watch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory that was read.
struct Watch {
    directory: Directory,
    reading: Reading,
    newest: Option<ClaimSeen>,
}

impl Watch {
    fn still_holds(&self) -> bool {
        let now = Mark::of(&self.directory);
        now.is_ok_and(|now| self.reading.still_holds(&now))
    }

    /// Reads a directory by name. What `before` knows of the same directory and cannot change is not
    /// read again.
    fn begin(path: &Path, before: Option<&Self>) -> io::Result<Self> {
        match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            directory => return Self::read(path, directory?, before),
        }
        let above = path.parent().unwrap_or(path);
        let above = Directory::open(above)?;
        let reading = Reading::begin(&above, before)?;
        // Looked for once more, now that a change would be seen.
        match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                directory: above,
                reading,
                newest: None,
            }),
            directory => Self::read(path, directory?, before),
        }
    }

    fn read(path: &Path, directory: Directory, before: Option<&Self>) -> io::Result<Self> {
        let reading = Reading::begin(&directory, before)?;
        let same = before.filter(|before| before.reading.mark.is_of_same_directory(&reading.mark));
        let known = same.and_then(|before| before.newest.as_ref());
        let newest = newest_of(&directory, path.file_name().unwrap_or_default(), known)?;
        Ok(Self {
            directory,
            reading,
            newest,
        })
    }
}

/// When a directory was read, and what it looked like.
#[derive(Debug, Clone, Copy)]
struct Reading {
    mark: Mark,
    /// When this mark was first seen; the change behind it is older.
    seen: Instant,
    begun: Instant,
}

impl Reading {
    /// A reading that begins now.
    fn begin(directory: &Directory, before: Option<&Watch>) -> io::Result<Self> {
        let mark = Mark::of(directory)?;
        let now = Instant::now();
        let before = before.map(|before| before.reading);
        let seen = before.filter(|before| before.mark == mark);
        Ok(Self {
            mark,
            seen: seen.map_or(now, |before| before.seen),
            begun: now,
        })
    }

    /// Whether what was read then is what could be read now, when the directory looks like `now`.
    fn still_holds(&self, now: &Mark) -> bool {
        *now == self.mark && self.begun.saturating_duration_since(self.seen) >= STEP
    }
}

/// What tells a directory from another, and from itself before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(directory: &Directory) -> io::Result<Self> {
        let data = directory.metadata()?;
        Ok(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }

    fn is_of_same_directory(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cluster::Epoch;
    use crate::share::Claim;
    use crate::share::sealed::seal;

    struct Play {
        root: tempfile::TempDir,
        watches: Watches,
    }

    impl Play {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("claims")).unwrap();
            let watches = Watches::default();
            Self { root, watches }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        /// As an agent does: whole, beside it, and then under its name.
        fn put(&self, name: &str, text: &str) {
            let (there, beside) = (self.at(name), self.at("claims/ftp/.new"));
            fs::write(&beside, text).unwrap();
            fs::rename(beside, there).unwrap();
        }

        fn claim(&self, epoch: u64) {
            let (ftp, mail) = ("ftp".parse().unwrap(), "mail".parse().unwrap());
            let claim = Claim::new(&ftp, Epoch(epoch), &mail).unwrap();
            let json = serde_json::to_string(&claim).unwrap();
            self.put(&format!("claims/ftp/{epoch}.claim"), &seal(&json));
        }

        fn look(&self) -> io::Result<Option<ClaimSeen>> {
            self.watches.newest(&self.at("claims/ftp"))
        }

        fn epoch(&self) -> Option<u64> {
            self.look().unwrap().map(|seen| seen.claim.epoch.0)
        }

        fn state(&self) -> Option<String> {
            self.look().unwrap()?.state
        }

        /// Looks until what was read counts.
        fn settle(&self) {
            self.look().unwrap();
            std::thread::sleep(STEP);
            self.look().unwrap();
        }
    }

    #[test]
    fn what_changes_is_seen_at_once() {
        let play = Play::new();
        assert_eq!(play.epoch(), None);
        play.settle();
        assert_eq!(play.epoch(), None);
        fs::create_dir(play.at("claims/ftp")).unwrap();
        assert_eq!(play.epoch(), None);
        play.settle();
        // The first is made while the directory is known well, the others right after a change.
        for epoch in 1..=100 {
            play.claim(epoch);
            assert_eq!(play.epoch(), Some(epoch));
            for state in ["a\n", "b\n"] {
                play.put(&format!("claims/ftp/{epoch}.state"), &seal(state));
                assert_eq!(play.state().as_deref(), Some(state));
            }
        }
        play.settle();
        play.put("claims/ftp/100.state", &seal("c\n"));
        assert_eq!(play.state().as_deref(), Some("c\n"));
    }

    #[test]
    fn a_directory_that_is_replaced_or_removed_is_seen() {
        let play = Play::new();
        fs::create_dir(play.at("claims/ftp")).unwrap();
        play.claim(3);
        play.settle();
        fs::rename(play.at("claims/ftp"), play.at("claims/old")).unwrap();
        fs::create_dir(play.at("claims/ftp")).unwrap();
        play.claim(3);
        let other = play.look().unwrap().unwrap();
        let text = fs::read_to_string(play.at("claims/ftp/3.claim")).unwrap();
        assert!(text.contains(&other.claim.nonce), "{text}");
        play.settle();
        fs::remove_dir_all(play.at("claims/ftp")).unwrap();
        assert_eq!(play.epoch(), None);
        play.settle();
        fs::remove_dir_all(play.at("claims")).unwrap();
        assert_eq!(play.look().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// What is found although its name leads nowhere was neither opened nor read.
    #[test]
    fn what_did_not_change_is_not_read() {
        let play = Play::new();
        fs::create_dir(play.at("claims/ftp")).unwrap();
        play.claim(1);
        play.put("claims/ftp/1.state", &seal("a\n"));
        play.settle();
        fs::rename(play.at("claims"), play.at("away")).unwrap();
        for _ in 0..3 {
            assert_eq!(play.state().as_deref(), Some("a\n"));
        }
        // A change is looked for by name.
        fs::write(play.at("away/ftp/2.claim"), "").unwrap();
        assert_eq!(play.look().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// A claim that is known is not read again when a state changes.
    #[test]
    fn a_known_claim_is_not_read_again() {
        let play = Play::new();
        fs::create_dir(play.at("claims/ftp")).unwrap();
        play.claim(1);
        play.settle();
        fs::write(play.at("claims/ftp/1.claim"), "").unwrap();
        play.put("claims/ftp/1.state", &seal("a\n"));
        assert_eq!(play.state().as_deref(), Some("a\n"));
        fs::write(play.at("claims/ftp/2.claim"), "").unwrap();
        assert_eq!(play.look().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn equal_times_count_only_once_a_step_has_passed() {
        let mark = Mark {
            device: 1,
            inode: 2,
            size: 3,
            modified: (4, 0),
            changed: (4, 0),
        };
        let later = Mark {
            changed: (4, 1),
            ..mark
        };
        let seen = Instant::now();
        for (millis, holds) in [(0, false), (99, false), (100, true), (5000, true)] {
            let begun = seen + Duration::from_millis(millis);
            let reading = Reading { mark, seen, begun };
            assert_eq!(reading.still_holds(&mark), holds, "{millis} ms");
            assert!(!reading.still_holds(&later));
        }
    }
}
