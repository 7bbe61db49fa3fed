//! Fetches a file over the network ahead of somebody who reads it in small parts.

use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Bytes that an NFS client asks for at most when it is told what will be needed.
const AT_ONCE: u64 = 1 << 20;

/// Does `work`, which reads all of a file, while the kernel fetches it in large parts: over the network the
/// hypervisor would wait for each of its own small ones. A file that cannot be fetched is left to `work`.
pub(super) fn prefetching<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = prefetch(path, &done) {
                tracing::warn!("{} was not fetched ahead: {error}", path.display());
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// Fetches part by part, two at a time, so that what else the file server is asked waits for no more than
/// these. It does not read them: of what is in memory already nothing is copied. Returns how many bytes it
/// asked for.
fn prefetch(path: &Path, done: &AtomicBool) -> io::Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut asked = 0;
    while asked < length && !done.load(Ordering::Relaxed) {
        fadvise(&file, asked, NonZeroU64::new(AT_ONCE), Advice::WillNeed)?;
        if let Some(before) = asked.checked_sub(1) {
            file.read_at(&mut [0], before)?;
        }
        asked += AT_ONCE;
    }
    Ok(asked.min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_fetched_to_its_end_unless_it_is_read_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory");
        let length = 2 * AT_ONCE + 5;
        File::create(&path).unwrap().set_len(length).unwrap();
        let fetch = |done| prefetch(&path, &AtomicBool::new(done)).unwrap();
        assert_eq!([fetch(false), fetch(true)], [length, 0]);
    }

    #[test]
    fn the_work_is_done_whether_its_file_can_be_fetched_or_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(prefetching(&dir.path().join("none"), || "read"), "read");
        assert_eq!(prefetching(dir.path(), || "read"), "read");
    }
}
