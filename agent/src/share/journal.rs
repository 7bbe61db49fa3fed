//! Appending to a log on the share without ever waiting for it.
//!
//! Lines go through a bounded queue to a thread of their own, which writes them in batches and
//! waits as long as the file server makes it wait. When the server comes back, everything queued
//! is written. Beyond [`JOURNAL_LIMIT_BYTES`] the newest lines are dropped and counted, and a line
//! in the log says how many.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Share, ShareError};

/// Bytes of log that wait for a hung share before lines are dropped (over an hour of a busy log).
pub const JOURNAL_LIMIT_BYTES: usize = 512 * 1024;
/// Lines are collected this long before one write.
const BATCH: Duration = Duration::from_millis(500);
/// So are lines that nobody waits for.
const LAZY: Duration = Duration::from_secs(4);
/// Pause after the file system refused.
const RETRY: Duration = Duration::from_secs(1);
/// To open a file anew for each batch takes the file server more than to write the batch. Kept
/// for longer, one that was moved away to start another would get what belongs into the other.
const KEEP_OPEN: Duration = Duration::from_secs(30);

#[derive(Default)]
struct State {
    text: String,
    /// Some of it is not to wait for more.
    urgent: bool,
    dropped: u64,
    /// Bytes that are being written; they count for the bound until they are.
    in_flight: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// An append-only text file on the share. Dropped, its thread ends once all is written.
pub struct Journal {
    shared: Arc<Shared>,
}

impl Share {
    /// Opens `name` for appending; the file is created, its directory must exist.
    ///
    /// # Errors
    /// A name that leaves the share, or no thread to be had. The file itself is opened later, and
    /// again and again until that succeeds.
    pub fn journal(&self, name: &str) -> Result<Journal, ShareError> {
        let path = self.path(name)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let target = path.clone();
        thread::Builder::new()
            .name("journal".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || write_all(&theirs, Target::new(target)))
            .map_err(|cause| ShareError::Io {
                doing: "start the writer of",
                path,
                cause,
            })?;
        Ok(Journal { shared })
    }
}

impl Journal {
    /// Queues one line; returns at once.
    pub fn append(&self, line: &str) {
        self.queue(line, true);
    }

    /// Queues one line that may be written some seconds later, with others.
    pub fn append_lazily(&self, line: &str) {
        self.queue(line, false);
    }

    fn queue(&self, line: &str, urgent: bool) {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if state.in_flight + state.text.len() + line.len() >= JOURNAL_LIMIT_BYTES {
            state.dropped += 1;
            return;
        }
        if state.dropped > 0 {
            let note = format!(
                "({} lines dropped: the share did not answer)\n",
                state.dropped
            );
            state.text.push_str(&note);
            state.dropped = 0;
        }
        state.text.push_str(line);
        state.text.push('\n');
        if urgent {
            state.urgent = true;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until all lines are written, at most `within`; true if they are. Blocks: for the end
    /// of a program and for tests.
    pub fn flush(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.urgent = true;
        self.shared.changed.notify_all();
        while state.in_flight > 0 || !state.text.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        self.shared.changed.notify_all();
    }
}

fn write_all(shared: &Shared, mut target: Target) {
    loop {
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Lazy lines wake nobody; they are looked for now and then.
        while !state.urgent && !state.closed {
            let (found, waited) = shared
                .changed
                .wait_timeout(state, LAZY)
                .unwrap_or_else(PoisonError::into_inner);
            state = found;
            if waited.timed_out() && !state.text.is_empty() {
                break;
            }
        }
        if state.text.is_empty() {
            if state.closed {
                return;
            }
            state.urgent = false;
            continue;
        }
        if state.urgent && !state.closed {
            drop(state);
            thread::sleep(BATCH);
            state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let batch = std::mem::take(&mut state.text);
        state.urgent = false;
        state.in_flight = batch.len();
        drop(state);
        let unwritten = write_batch(shared, &mut target, &batch);
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.in_flight = 0;
        if let Some(rest) = unwritten {
            state.text.insert_str(0, &rest);
            state.urgent = true;
        }
        shared.changed.notify_all();
        if state.closed && !state.text.is_empty() {
            // Nobody is left to wait for a share that refuses.
            return;
        }
    }
}

/// Writes `batch`; returns it when it has to be written again.
fn write_batch(shared: &Shared, target: &mut Target, batch: &str) -> Option<String> {
    let error = target.append(batch.as_bytes()).err()?;
    tracing::debug!(
        "append to {}: {error}; {} bytes wait",
        target.path.display(),
        batch.len()
    );
    let state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.closed {
        let waited = shared
            .changed
            .wait_timeout_while(state, RETRY, |state| !state.closed);
        drop(waited);
    }
    Some(batch.to_owned())
}

/// The file that is appended to.
struct Target {
    path: PathBuf,
    open: Option<(File, Instant)>,
}

impl Target {
    fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends `bytes` and waits until the file server has them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut file, since) = match self.open.take() {
            Some((file, since)) if since.elapsed() < KEEP_OPEN => (file, since),
            _ => (open(&self.path)?, Instant::now()),
        };
        file.write_all(bytes)?;
        // Without this a write that never reaches the file server is not noticed. A line that is
        // there twice is better than one that is missing.
        file.sync_data()?;
        self.open = Some((file, since));
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_was_moved_away_is_left_in_time() {
        let root = tempfile::tempdir().unwrap();
        let (log, old) = (root.path().join("mail.log"), root.path().join("mail.log.1"));
        let mut target = Target::new(log.clone());
        target.append(b"one\n").unwrap();
        fs::rename(&log, &old).unwrap();
        target.append(b"two\n").unwrap();
        let (file, since) = target.open.take().unwrap();
        target.open = since.checked_sub(KEEP_OPEN).map(|then| (file, then));
        target.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(log).unwrap(), "three\n");
    }

    #[test]
    fn after_an_error_the_file_is_opened_anew() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("mail.log");
        let mut target = Target::new(log.clone());
        fs::write(&log, "").unwrap();
        // Stands for one that the file server no longer knows: opened for reading, it refuses.
        target.open = Some((File::open(&log).unwrap(), Instant::now()));
        target.append(b"one\n").unwrap_err();
        target.append(b"one\n").unwrap();
        assert_eq!(fs::read_to_string(log).unwrap(), "one\n");
    }
}
