//! Tables 1 and 2 of the paper measured, ring against star, and what managing costs each server.
//!
//! | part | what |
//! |---|---|
//! | `rest` | messages, accesses and examinations of a cluster at rest; Table 1 |
//! | `startups` | backup VMs on one server after many failures; Table 2 |
//! | `text`, `picture` | tables for people, and the plot |

mod picture;
mod rest;
mod startups;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ringward::cluster::Topology;

use rest::Rest;
use startups::{Pattern, Startups};

/// The most target servers; a star of them has a manager more.
pub(super) const MOST: usize = super::cluster::MOST - 1;
/// Sizes at which a cluster at rest is looked at.
const AT_REST: [usize; 9] = [2, 3, 6, 10, 30, 100, 200, 500, 1000];
/// Up to this size every number of failures is tried.
const EVERY: usize = 8;
/// Larger sizes, at which some are.
const SOME: [usize; 6] = [10, 20, 50, 100, 300, 1000];

/// A cluster of the paper's Tables 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cast {
    topology: Topology,
    targets: usize,
}

impl Cast {
    /// With the star's management server.
    fn servers(self) -> usize {
        self.targets + usize::from(self.topology == Topology::Star)
    }
}

/// Something to be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Rest(Cast),
    Startups(Cast, usize, Pattern),
}

/// What came of it.
#[derive(Debug, Clone)]
enum Found {
    Rest(Rest),
    Startups(Startups),
}

/// Failures of `k` of `n` targets.
#[derive(Debug, Clone, Default)]
struct Failures {
    neighbours: Option<Startups>,
    apart: Option<Startups>,
    star: Option<Startups>,
}

/// All that was measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    ring: Vec<Rest>,
    star: Vec<Rest>,
    failures: BTreeMap<(usize, usize), Failures>,
}

/// Measures all tables for up to `most` target servers, on all processors. `told` hears what is
/// done and how much is left.
///
/// # Errors
/// When the audit found a broken rule.
pub(super) fn measure(most: usize, told: impl Fn(&str) + Sync) -> anyhow::Result<Tables> {
    let jobs = jobs(most);
    let mut tables = Tables::default();
    for (job, found) in jobs.iter().zip(work(&jobs, told)?) {
        match (job, found) {
            (Job::Rest(cast), Found::Rest(rest)) => match cast.topology {
                Topology::Ring => tables.ring.push(rest),
                Topology::Star => tables.star.push(rest),
            },
            (Job::Startups(cast, failed, pattern), Found::Startups(found)) => {
                let of = tables.failures.entry((cast.targets, *failed)).or_default();
                let place = match (cast.topology, pattern) {
                    (Topology::Star, _) => &mut of.star,
                    (Topology::Ring, Pattern::Neighbours) => &mut of.neighbours,
                    (Topology::Ring, Pattern::Apart) => &mut of.apart,
                };
                *place = Some(found);
            }
            _ => {}
        }
    }
    Ok(tables)
}

/// Small ones first.
fn jobs(most: usize) -> Vec<Job> {
    let ring = |targets| Cast {
        topology: Topology::Ring,
        targets,
    };
    let star = |targets| Cast {
        topology: Topology::Star,
        targets,
    };
    let mut jobs = Vec::new();
    for n in AT_REST.into_iter().filter(|n| *n <= most) {
        jobs.extend([Job::Rest(ring(n)), Job::Rest(star(n))]);
    }
    for n in (2..=EVERY).chain(SOME).filter(|n| *n <= most) {
        for k in failures(n) {
            jobs.push(Job::Startups(ring(n), k, Pattern::Neighbours));
            jobs.push(Job::Startups(ring(n), k, Pattern::Apart));
            jobs.push(Job::Startups(star(n), k, Pattern::Apart));
        }
    }
    jobs
}

/// How many of `n` targets fail: from one to all but one.
fn failures(n: usize) -> Vec<usize> {
    if n <= EVERY {
        return (1..n).collect();
    }
    let half = n / 2;
    let mut some = vec![1, 2, 3, n / 4, half, half + 1, n * 3 / 4, n - 1];
    some.sort_unstable();
    some.dedup();
    some
}

/// Does all jobs on all processors, the largest first. Results are in the order of the jobs.
fn work(jobs: &[Job], told: impl Fn(&str) + Sync) -> anyhow::Result<Vec<Found>> {
    let results: Vec<Mutex<Option<anyhow::Result<Found>>>> =
        jobs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let done = next.fetch_add(1, Ordering::Relaxed);
                    let Some(at) = jobs.len().checked_sub(done + 1) else {
                        return;
                    };
                    told(&format!("{} of {}: {}", done + 1, jobs.len(), jobs[at]));
                    let found = jobs[at].run();
                    *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                }
            });
        }
    });
    let results = results.into_iter();
    let results = results.map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    results
        .map(|result| result.unwrap_or_else(|| anyhow::bail!("a job was not done")))
        .collect()
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest(cast) => write!(f, "{} of {} at rest", cast.topology, cast.targets),
            Self::Startups(cast, failed, _) => {
                write!(
                    f,
                    "{failed} of {} fail in a {}",
                    cast.targets, cast.topology
                )
            }
        }
    }
}

impl Job {
    fn run(self) -> anyhow::Result<Found> {
        Ok(match self {
            Self::Rest(cast) => Found::Rest(rest::measure(cast)?),
            Self::Startups(cast, failed, pattern) => {
                Found::Startups(startups::measure(cast, failed, pattern)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_servers() {
        let tables = measure(10, |_| {}).unwrap();
        insta::assert_snapshot!(tables.text());
        let svg = tables.picture();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
