//! A cluster at rest: what its servers do for management while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use ringward::cluster::{Activation, Profile};
use ringward::manage::Now;

use super::Cast;
use crate::sim::count::{Count, Kind, Sort};
use crate::sim::fault::Fault;
use crate::sim::network::Weather;
use crate::sim::play::Ends;
use crate::sim::scenario::{Scenario, moment};
use crate::sim::world::World;

/// What the start stirs up is over by then, and golden states are not loaded yet: the state of a
/// cluster that has been well for long, but for the few orders that move them.
const QUIET: Duration = Duration::from_secs(9);
/// Six rounds, and every server reads all claims once.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// A rate over all servers, per second.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    /// Over all servers.
    pub(super) mean: f64,
    /// Of the server that does it most.
    pub(super) most: f64,
    /// That server.
    pub(super) busiest: String,
}

/// What was counted at one size.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// Target servers; a star has a manager more.
    pub(super) targets: usize,
    pub(super) kinds: BTreeMap<Kind, Rate>,
    /// Messages sent and received, accesses to the share, examinations.
    pub(super) sums: BTreeMap<Sum, Rate>,
    /// The most targets that one server examines (Table 1).
    pub(super) managed: usize,
}

/// Kinds taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sum {
    Messages,
    /// Messages but for what every server tells all others.
    FewMessages,
    Share,
    /// Accesses but for the readings of all claims.
    FewShare,
    Examinations,
}

impl Sum {
    pub(super) const ALL: [Self; 5] = [
        Self::Messages,
        Self::FewMessages,
        Self::Share,
        Self::FewShare,
        Self::Examinations,
    ];

    fn has(self, kind: Kind) -> bool {
        let message = matches!(kind.sort, Sort::Sent | Sort::Received);
        let share = kind.sort == Sort::Share;
        match self {
            Self::Messages => message,
            Self::FewMessages => message && !matches!(kind.name, "Load" | "S"),
            Self::Share => share,
            Self::FewShare => share && kind.name == "claims of one function read",
            Self::Examinations => kind.sort == Sort::Examination,
        }
    }
}

/// Counts what `targets` servers do at rest.
///
/// # Errors
/// When there cannot be so many, or the audit found a broken rule.
pub(super) fn measure(cast: Cast) -> anyhow::Result<Rest> {
    let Cast { topology, targets } = cast;
    let mut world = World::new(scenario(cast).cluster()?, 1);
    world.log = None;
    for (at, fault) in scenario(cast).faults {
        world.plan(moment(at), fault);
    }
    world.run_until(Now(QUIET));
    world.count = Some(Box::new(Count::new(cast.servers())));
    world.run_until(Now(QUIET + WINDOW));
    if let Some(violation) = &world.audit.violation {
        anyhow::bail!("{topology} of {targets} at rest: {violation}");
    }
    ensure!(
        world.is_as_at_the_start(),
        "{topology} of {targets} is not at rest: {}",
        world.missing().unwrap_or_default()
    );
    let name = |server: usize| world.cluster.name(server).to_owned();
    let count = world
        .count
        .take()
        .unwrap_or_else(|| Box::new(Count::new(0)));
    let kinds = count.done().iter();
    let kinds = kinds.map(|(kind, done)| (*kind, rate(done, name)));
    let sums = Sum::ALL.map(|sum| {
        let mut done = vec![0; cast.servers()];
        for (_, of) in count.done().iter().filter(|(kind, _)| sum.has(**kind)) {
            done.iter_mut().zip(of).for_each(|(sum, of)| *sum += of);
        }
        (sum, rate(&done, name))
    });
    Ok(Rest {
        targets,
        kinds: kinds.collect(),
        sums: sums.into(),
        managed: count.targets().max().unwrap_or(0),
    })
}

/// The first messages of all are lost. With them the servers would ask each other for their word
/// before they have read the share, all of all others, and remember all answers: more memory than a
/// machine has for a thousand of them.
fn scenario(cast: Cast) -> Scenario {
    let network = |loss| {
        Fault::Network(Weather {
            loss,
            ..Weather::default()
        })
    };
    Scenario {
        title: "At rest".to_owned(),
        shows: "What managing costs.".to_owned(),
        servers: cast.servers(),
        profile: Profile::Paper,
        topology: cast.topology,
        activation: Activation::Standby,
        seed: 1,
        room_mb: BTreeMap::new(),
        faults: vec![(0.0, network(1000)), (1.0, network(0))],
        until: (QUIET + WINDOW).as_secs_f64(),
        ends: Ends::Anyhow,
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a minute")]
fn rate(done: &[u64], name: impl Fn(usize) -> String) -> Rate {
    let seconds = WINDOW.as_secs_f64();
    let most = done.iter().copied().max().unwrap_or(0);
    let all: u64 = done.iter().sum();
    Rate {
        mean: all as f64 / done.len().max(1) as f64 / seconds,
        most: most as f64 / seconds,
        busiest: done
            .iter()
            .position(|of| *of == most)
            .map_or(String::new(), name),
    }
}
