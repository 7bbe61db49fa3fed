//! Many seeds on all processors.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::draw::{Frame, draw};
use super::play::play;

/// What came of many seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// What happened in all of them.
    pub steps: u64,
    /// The longest that a function which could be served was not.
    pub longest: Duration,
    /// The lowest seed that failed.
    pub failed: Option<u64>,
}

impl Tally {
    fn add(&mut self, seed: u64, steps: u64, longest: Duration, clean: bool) {
        self.seeds += 1;
        self.steps += steps;
        self.longest = self.longest.max(longest);
        if !clean {
            self.failed = Some(self.failed.map_or(seed, |failed| failed.min(seed)));
        }
    }
}

/// Runs `count` seeds from `first` on. After one that fails no new one is begun. `progress` is told
/// now and then.
///
/// # Errors
/// As [`play`].
pub(super) fn run(
    first: u64,
    count: u64,
    frame: &Frame,
    mut progress: impl FnMut(&Tally, Duration),
) -> anyhow::Result<Tally> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    let error = Mutex::new(None);
    let begun = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                let seed = first + index;
                match play(&draw(seed, frame), false) {
                    Ok(outcome) => {
                        let clean = outcome.is_clean();
                        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                        tally.add(seed, outcome.steps, outcome.audit.longest, clean);
                        stop.fetch_or(!clean, Ordering::Relaxed);
                    }
                    Err(reason) => {
                        *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut told = Instant::now();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(20));
            if told.elapsed() > Duration::from_millis(500) {
                told = Instant::now();
                let tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
                progress(&tally, begun.elapsed());
            }
        }
    });
    if let Some(error) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress(&tally, begun.elapsed());
    Ok(tally)
}
