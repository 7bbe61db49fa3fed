//! How fast the host is while machines run on it.
//!
//! A host that is itself a virtual machine shares caches and memory with neighbours. When they work much,
//! each access to memory takes twice as long, and emulated machines, which live on memory, are two to three times
//! slower: healthy services do not answer in time. Neither the load of this host nor its stolen time
//! tells so. What does is a walk through memory in an order that no cache foresees, timed once a second.
//! It is timed in its own processor time, so that what the lab's machines take of the processors does not
//! count: with all of them booting a step took at most 1.1 times as long as with none.

use crate::experiment::site::Slowed;
use crate::report::clock;
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two walks.
const EVERY: Duration = Duration::from_secs(1);
/// How many cache lines there are to walk through: 8 MiB, more than a processor has for itself.
const LINES: u32 = 131_072;
/// Steps of a walk; all take two to five milliseconds.
const STEPS: u32 = 20_000;
/// Of so many walks in a row the median counts.
const ROW: usize = 5;
/// One walk in so many is taken to be undisturbed.
const QUIET: usize = 20;
/// So many times as long as undisturbed is slow.
const SLOW: f64 = 1.25;

/// One walk.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// When, since 1970.
    at: Duration,
    /// Processor time that a step took, in nanoseconds.
    step_ns: f64,
}

/// Times walks until it is dropped.
#[derive(Debug)]
pub struct Pace {
    samples: Arc<Mutex<Vec<Sample>>>,
    /// Dropped, it ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pace {
    /// Begins.
    #[must_use]
    pub fn begin() -> Self {
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let kept = samples.clone();
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut walk = Walk::new();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let at = now();
                let step_ns = walk.step_ns();
                lock(&kept).push(Sample { at, step_ns });
            }
        });
        Self {
            samples,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How others slowed the host since then, if they did.
    #[must_use]
    pub fn slowed(&self, since: Duration) -> Option<Slowed> {
        slowed(&lock(&self.samples), since)
    }

    /// The walks since then, a line each.
    #[must_use]
    pub fn log(&self, since: Duration) -> String {
        let mut text = "# nanoseconds that a step through memory took\n".to_owned();
        for of in lock(&self.samples).iter().filter(|of| of.at >= since) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {:.0}", clock::display(of.at), of.step_ns);
        }
        text
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so; there are no more walks.
            let _ = thread.join();
        }
    }
}

/// A thread that panicked with the lock held leaves all walks that were made.
fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// A cache line that names the next.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(u32);

/// A closed path through all lines, in no order.
#[derive(Debug)]
struct Walk {
    lines: Vec<Line>,
    at: u32,
}

impl Walk {
    fn new() -> Self {
        let mut lines: Vec<Line> = (0..LINES).map(Line).collect();
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        // Sattolo's shuffle: the path that comes of it is one circle.
        for last in (1..lines.len()).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = usize::try_from(random % last as u64).unwrap_or(0);
            lines.swap(last, other);
        }
        Self { lines, at: 0 }
    }

    fn next(&mut self) {
        self.at = self.lines[self.at as usize].0;
    }

    /// Walks on; the processor time of a step in nanoseconds.
    fn step_ns(&mut self) -> f64 {
        let began = processor_time();
        for _ in 0..STEPS {
            self.next();
        }
        let took = processor_time().saturating_sub(began);
        took.as_secs_f64() * 1e9 / f64::from(STEPS)
    }
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// How others slowed the host since then, if they did, by all walks so far.
fn slowed(samples: &[Sample], since: Duration) -> Option<Slowed> {
    let mut all: Vec<f64> = samples.iter().map(|of| of.step_ns).collect();
    all.sort_unstable_by(f64::total_cmp);
    let usual = all.get(all.len() / QUIET)?;
    let slow = (0..samples.len()).filter_map(|at| {
        let row = samples.get(at.saturating_sub(ROW / 2)..)?;
        let row = &row[..row.len().min(ROW)];
        let times = median(row)? / usual;
        let here = samples[at];
        (here.at >= since && row.len() == ROW && times >= SLOW).then_some((here.at, times))
    });
    let slow: Vec<(Duration, f64)> = slow.collect();
    let mut times: Vec<f64> = slow.iter().map(|(_, times)| *times).collect();
    times.sort_unstable_by(f64::total_cmp);
    let ((from, _), (until, _)) = (slow.first()?, slow.last()?);
    Some(Slowed {
        from: *from,
        until: *until,
        lasted_s: EVERY.as_secs_f64() * times.len() as f64,
        times: times[times.len() / 2],
    })
}

fn median(row: &[Sample]) -> Option<f64> {
    let mut row: Vec<f64> = row.iter().map(|of| of.step_ns).collect();
    row.sort_unstable_by(f64::total_cmp);
    row.get(row.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000;

    fn samples(steps: impl IntoIterator<Item = f64>) -> Vec<Sample> {
        let seconds = (START..).map(Duration::from_secs);
        let sample = |(at, step_ns)| Sample { at, step_ns };
        seconds.zip(steps).map(sample).collect()
    }

    #[test]
    fn the_path_leads_through_all_lines() {
        let mut walk = Walk::new();
        let mut seen = vec![false; walk.lines.len()];
        for _ in 0..LINES {
            walk.next();
            seen[walk.at as usize] = true;
        }
        assert!(walk.at == 0 && seen.iter().all(|seen| *seen));
    }

    /// A minute of quiet with the lab's own machines at work, half a minute of neighbours, quiet again.
    #[test]
    fn neighbours_are_told_from_own_work() {
        let quiet = (0..60).map(|n| if n % 3 == 0 { 124.0 } else { 115.0 });
        let loud = (0..30).map(|n| 170.0 + f64::from(n));
        let again = std::iter::repeat_n(116.0, 30);
        let all = samples(quiet.chain(loud).chain(again));
        let since = |seconds| slowed(&all, Duration::from_secs(START + seconds));
        let found = since(0).unwrap();
        assert_eq!(found.from, Duration::from_secs(START + 60));
        assert_eq!(found.until, Duration::from_secs(START + 89));
        assert!((found.lasted_s - 30.0).abs() < 0.1);
        assert!((1.55..1.65).contains(&found.times), "{found:?}");
        assert!((since(80).unwrap().lasted_s - 10.0).abs() < 0.1);
        assert_eq!(since(95), None);
    }

    /// One late walk says nothing, nor do so few that none of them is known to be quiet.
    #[test]
    fn a_single_walk_says_nothing() {
        let mut steps = vec![115.0; 40];
        steps[20] = 900.0;
        steps[39] = 900.0;
        assert_eq!(slowed(&samples(steps), Duration::ZERO), None);
        assert_eq!(
            slowed(&samples([115.0, 300.0, 300.0]), Duration::ZERO),
            None
        );
        assert_eq!(slowed(&[], Duration::ZERO), None);
    }

    #[test]
    fn walks_are_made_until_it_ends() {
        let pace = Pace::begin();
        let began = std::time::Instant::now();
        while lock(&pace.samples).is_empty() && began.elapsed() < 10 * EVERY {
            std::thread::sleep(EVERY / 20);
        }
        let log = pace.log(Duration::ZERO);
        assert!(log.lines().count() > 1, "{log}");
        assert!(lock(&pace.samples)[0].step_ns > 0.0);
    }
}
