//! What happened in the lab and when, by the host's clock: `events.log` of the run directory.

use super::error::{LabError, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// By the monotonic clock.
    pub at: Instant,
    /// By the wall clock, as in the capture.
    pub clock: SystemTime,
    /// The machine, or `lab`.
    pub subject: String,
    /// What happened to it.
    pub what: String,
}

/// The events so far, also in a file.
#[derive(Debug)]
pub struct Events {
    start: Instant,
    path: PathBuf,
    inner: Mutex<(File, Vec<Event>)>,
}

impl Events {
    /// Starts a log; seconds in the file count from here.
    pub fn create(path: &Path) -> Result<Events> {
        let file = File::create(path).map_err(LabError::io("create", path))?;
        let inner = Mutex::new((file, Vec::new()));
        Ok(Events {
            start: Instant::now(),
            path: path.to_owned(),
            inner,
        })
    }

    /// Adds an event of this moment.
    pub fn note(&self, subject: &str, what: &str) {
        let event = Event {
            at: Instant::now(),
            clock: SystemTime::now(),
            subject: subject.to_owned(),
            what: what.to_owned(),
        };
        let since = (event.at - self.start).as_secs_f64();
        let stamp = jiff::Timestamp::try_from(event.clock).unwrap_or_default();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // The log is an aid; a full disk must not stop the machines.
        let _ = writeln!(inner.0, "{stamp:.3} {since:9.3} {subject:8} {what}");
        inner.1.push(event);
    }

    /// All events so far.
    pub fn all(&self) -> Vec<Event> {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
