//! Appending to a log on the share without ever waiting for it.
//!
//! Lines go through a bounded queue to a thread of their own, which writes them in batches and
//! waits as long as the file server makes it wait. When the server comes back, everything queued
//! is written. Beyond [`JOURNAL_LIMIT_BYTES`] the newest lines are dropped and counted, and a line
//! in the log says how many.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Share, ShareError};

/// Bytes of log that wait for a hung share before lines are dropped (over an hour of a busy log).
pub const JOURNAL_LIMIT_BYTES: usize = 512 * 1024;
/// Lines are collected this long before one write.
const BATCH: Duration = Duration::from_millis(200);
/// So are lines that nobody waits for.
const LAZY: Duration = Duration::from_secs(4);
/// Pause after the file system refused.
const RETRY: Duration = Duration::from_secs(1);

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
            .spawn(move || write_all(&theirs, &target))
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

fn write_all(shared: &Shared, path: &PathBuf) {
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
        let unwritten = write_batch(shared, path, &batch);
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
fn write_batch(shared: &Shared, path: &PathBuf, batch: &str) -> Option<String> {
    let result = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(batch.as_bytes())?;
            // Without this a write that never reaches the file server is not noticed. A line that
            // is there twice is better than one that is missing.
            file.sync_data()
        });
    let error = result.err()?;
    tracing::debug!(
        "append to {}: {error}; {} bytes wait",
        path.display(),
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
