//! How far long work has come: one line that changes on a terminal, elsewhere a line now and then.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(20);

/// Tells on standard error; from any thread.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    begun: Instant,
    told: Mutex<Instant>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self {
            terminal: std::io::stderr().is_terminal(),
            begun: now,
            told: Mutex::new(now),
        }
    }

    pub(super) fn tell(&self, text: &str) {
        let took = self.begun.elapsed().as_secs();
        if self.terminal {
            eprint!("\r\x1b[K{took:4} s  {text}");
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PAUSE {
            *told = Instant::now();
            eprintln!("{took:4} s  {text}");
        }
    }

    pub(super) fn end(self) {
        if self.terminal {
            eprintln!();
        }
    }
}
