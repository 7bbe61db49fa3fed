//! How many backup VMs one server starts when many servers fail at the same moment (Table 2 of the
//! paper).

use std::collections::BTreeMap;
use std::time::Duration;

use ringward::cluster::{Activation, Profile, Topology};

use super::Cast;
use crate::sim::fault::{Fault, OnServer};
use crate::sim::play::Ends;
use crate::sim::scenario::{Scenario, moment};
use crate::sim::world::World;

/// In the middle between two examinations, as in the paper (section 4.3).
const STRUCK: f64 = 25.0;
/// All functions must be served again by then.
const LONGEST: u64 = 2 * 3600;

/// Which servers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// They stand next to each other in the ring.
    Neighbours,
    /// As far from each other as they can.
    Apart,
}

/// What came of so many failures.
#[derive(Debug, Clone)]
pub(super) struct Startups {
    /// Backup VMs on the server that started most of them.
    pub(super) most: usize,
    /// From the failure until all functions were served again; nothing if that never was.
    pub(super) took: Option<Duration>,
}

/// Has `failed` of the targets shut down for good.
///
/// # Errors
/// When there cannot be so many, or the audit found a broken rule.
pub(super) fn measure(cast: Cast, failed: usize, pattern: Pattern) -> anyhow::Result<Startups> {
    let lost = lost(cast, failed, pattern);
    let scenario = scenario(cast, &lost);
    let mut world = World::new(scenario.cluster()?, 1);
    world.log = None;
    // Many neighbours are found a few at a time. How long that takes is told and not judged.
    world.audit.bound = Duration::MAX;
    for (at, fault) in scenario.faults {
        world.plan(moment(at), fault);
    }
    let struck = moment(STRUCK);
    let mut took = None;
    world.run_until(struck);
    for second in 1..=LONGEST {
        world.run_until(struck + Duration::from_secs(second));
        if let Some(violation) = &world.audit.violation {
            let topology = cast.topology;
            anyhow::bail!("{topology} of {}, {failed} fail: {violation}", cast.targets);
        }
        if lost.iter().all(|function| world.is_served(*function)) {
            took = Some(Duration::from_secs(second));
            break;
        }
    }
    let running = world.machines.iter().map(|machine| machine.running());
    Ok(Startups {
        most: running.max().unwrap_or(0),
        took,
    })
}

/// Numbers of the servers that fail. The first target stays, so that the same server sends S.
fn lost(cast: Cast, failed: usize, pattern: Pattern) -> Vec<usize> {
    let n = cast.targets;
    // In a star the manager comes before the targets.
    let first = cast.servers() - n;
    let place = |at: usize| match pattern {
        Pattern::Neighbours => (1 + at) % n,
        Pattern::Apart => (1 + at * n / failed) % n,
    };
    (0..failed).map(|at| first + place(at)).collect()
}

/// The conventional method starts all backup VMs on the management server: no other has room.
fn scenario(cast: Cast, lost: &[usize]) -> Scenario {
    let star = cast.topology == Topology::Star;
    let small = if star { 1..cast.servers() } else { 0..0 };
    let mut faults = Vec::new();
    for server in lost {
        let off = |what| Fault::Server(what, *server);
        faults.push((STRUCK - 1.0, off(OnServer::WolFailure)));
        faults.push((STRUCK, off(OnServer::PowerOff)));
    }
    Scenario {
        title: "Many failures".to_owned(),
        shows: "How backup VMs spread.".to_owned(),
        servers: cast.servers(),
        profile: Profile::Paper,
        topology: cast.topology,
        activation: Activation::Restore,
        seed: 1,
        room_mb: small.map(|server| (server, 0)).collect::<BTreeMap<_, _>>(),
        faults,
        until: STRUCK,
        ends: Ends::Anyhow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_fail_and_never_one_twice() {
        for topology in [Topology::Ring, Topology::Star] {
            for targets in 2..12 {
                let cast = Cast { topology, targets };
                for failed in 1..targets {
                    for pattern in [Pattern::Neighbours, Pattern::Apart] {
                        let mut lost = lost(cast, failed, pattern);
                        lost.sort_unstable();
                        lost.dedup();
                        assert_eq!(lost.len(), failed);
                        assert!(lost.iter().all(|server| *server < cast.servers()));
                        assert!(topology == Topology::Ring || !lost.contains(&0));
                    }
                }
            }
        }
    }
}
