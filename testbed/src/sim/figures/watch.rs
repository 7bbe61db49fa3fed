//! A trouble of Figs. 13 to 15 played, and what is read off its log and off the VIPs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use ringward::cluster::{Activation, Profile, Topology};
use ringward::manage::Now;

use crate::experiment::spec::TroubleKind;
use crate::report::steps::{self, Steps};
use crate::sim::cluster::Cluster;
use crate::sim::fault::{Fault, OnServer};
use crate::sim::log::What;
use crate::sim::scenario::settings;
use crate::sim::world::{AGENT, World};

/// The ring of Fig. 15: Login is P1 of the first of three neighbours, Web 2 P2 of the last.
const RING: [&str; 6] = ["login", "mail", "ftp", "web1", "web2", "proxy"];
/// A round begins: the third since the start, so that the cluster is at rest.
const ROUND: Duration = Duration::from_millis(20_010);
/// How exactly the client looks.
const LOOK: Duration = Duration::from_millis(1);
/// All is at home again by then.
const LONGEST: Duration = Duration::from_secs(600);

/// What befalls whom.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) troubles: Vec<(&'static str, TroubleKind)>,
    /// When, seconds after a round began.
    pub(super) phase: f64,
    /// Whether servers behind a target in trouble are looked for at once, or one after the other as
    /// in the paper.
    pub(super) together: bool,
}

/// What was seen of one target, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// From the trouble until its function was recovered, step by step.
    pub(super) steps: Steps,
    /// From the detection by the server that recovers it until the target was recovered.
    pub(super) target: f64,
    /// From the trouble until clients were served again.
    pub(super) disconnection: f64,
    /// Without service while the function went home.
    pub(super) homecoming: f64,
}

impl Seen {
    /// From the detection by the server that recovers it until the function was recovered.
    pub(super) fn function(&self) -> f64 {
        self.steps.function()
    }
}

/// Plays a plan; what was seen of its targets, in their order.
///
/// # Errors
/// When the audit found a broken rule, or not all came home.
pub(super) fn watch(plan: &Plan) -> anyhow::Result<Vec<Seen>> {
    let settings = settings(Profile::Paper, Topology::Ring, Activation::Restore);
    let mut cluster = Cluster::ordered(&RING.map(str::to_owned), settings)?;
    // A server has started when its agent works too (see ARCHITECTURE.md).
    for time in [&mut cluster.times.start, &mut cluster.times.restart] {
        *time = time.saturating_sub(AGENT);
    }
    let targets = plan
        .troubles
        .iter()
        .map(|(name, _)| cluster.find_text(name));
    let targets: Vec<usize> = targets.collect::<anyhow::Result<_>>()?;
    let mut world = World::new(cluster, 1);
    world.one_by_one = !plan.together;
    let struck = Now(ROUND) + Duration::from_secs_f64(plan.phase);
    for (target, (_, trouble)) in targets.iter().zip(&plan.troubles) {
        world.plan(struck, Fault::Server(fault(*trouble), *target));
    }
    world.run_until(struck);
    let mut outages: Vec<Vec<(Now, Now)>> = vec![Vec::new(); targets.len()];
    let mut now = struck;
    loop {
        for (target, outages) in targets.iter().zip(&mut outages) {
            match outages.last_mut() {
                _ if world.is_served(*target) => {}
                Some((_, until)) if *until == now => *until = now + LOOK,
                _ => outages.push((now, now + LOOK)),
            }
        }
        if let Some(violation) = &world.audit.violation {
            bail!("{plan:?}: {violation}");
        }
        let whole = now.0.subsec_millis() % 100 == 0 && now > struck;
        if whole && world.missing().is_none() {
            break;
        }
        if now.since(struck) > LONGEST {
            bail!("{plan:?}: {}", world.missing().unwrap_or_default());
        }
        now = now + LOOK;
        world.run_until(now);
    }
    let seen = plan.troubles.iter().zip(&outages);
    seen.map(|((name, _), outages)| read(&world, name, struck, outages))
        .collect()
}

fn fault(trouble: TroubleKind) -> OnServer {
    match trouble {
        TroubleKind::St1 => OnServer::ServiceStop,
        TroubleKind::St2 => OnServer::ServiceBreak,
        TroubleKind::Nt1 => OnServer::Restart,
        TroubleKind::Nt2 | TroubleKind::Cut => OnServer::PowerOff,
        TroubleKind::Freeze => OnServer::Freeze,
    }
}

/// Times are read off the logs (section 4.3).
fn read(world: &World, target: &str, struck: Now, outages: &[(Now, Now)]) -> anyhow::Result<Seen> {
    let lines = world.log.as_deref().unwrap_or_default().iter();
    let lines = lines.filter_map(|line| match &line.what {
        What::Event(event) => Some((line.at.0, line.server.as_str(), event)),
        _ => None,
    });
    let lines: Vec<_> = lines.collect();
    let recovery = steps::read(&lines, target, struck.0);
    let recovery = recovery.with_context(|| format!("nobody recovered {target}"))?;
    let home = recovery
        .home
        .with_context(|| format!("{target} stays away"))?;
    let span = |(from, until): &(Now, Now)| until.since(*from).as_secs_f64();
    let later = outages.iter().skip(1).map(span);
    Ok(Seen {
        steps: recovery.steps,
        target: home.saturating_sub(recovery.detected).as_secs_f64(),
        disconnection: outages.first().map_or(0.0, span),
        homecoming: later.fold(0.0, |sum, span| sum + span),
    })
}
