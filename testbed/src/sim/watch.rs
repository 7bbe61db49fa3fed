//! Troubles played in virtual time, and what is read off the logs and off the VIPs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringward::cluster::{Activation, Profile, Topology};
use ringward::manage::Now;

use super::cluster::Cluster;
use super::fault::{Fault, OnServer};
use super::log::What;
use super::machine::{Machine, VmState};
use super::scenario::settings;
use super::world::{AGENT, World};
use crate::experiment::spec::{Strike, Then, TroubleKind, Until};
use crate::report::steps::{self, Steps};
use crate::report::story::{Entry, Story};

/// A round begins: the third since the start, so that the cluster is at rest.
fn round(t_im: Duration) -> Duration {
    t_im * 2 + Duration::from_millis(10)
}

/// How exactly the client looks.
const LOOK: Duration = Duration::from_millis(1);
/// How long it is watched when all is over.
const AFTER: Duration = Duration::from_secs(2);
/// All is at home again by then.
const LONGEST: Duration = Duration::from_secs(600);

/// What befalls whom, and where.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The servers in ring order.
    pub(super) ring: Vec<String>,
    pub(super) profile: Profile,
    pub(super) activation: Activation,
    pub(super) strikes: Vec<Strike>,
    /// What follows once all functions are served again.
    pub(super) then: Option<Then>,
    /// When, after a round began.
    pub(super) phase: Duration,
    pub(super) until: Until,
    /// Whether servers behind a target in trouble are looked for at once, or one after the other as
    /// in the paper.
    pub(super) together: bool,
    /// For the delays of the network.
    pub(super) seed: u64,
}

/// What was seen of one target, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// When trouble struck it.
    pub(super) struck: Duration,
    /// The server that recovered it.
    pub(super) by: String,
    /// From the trouble until its function was recovered, step by step.
    pub(super) steps: Steps,
    /// From the detection by the server that recovers it until the target was recovered, if that
    /// was awaited.
    pub(super) target: Option<f64>,
    /// From the trouble until clients were served again.
    pub(super) disconnection: f64,
}

impl Seen {
    /// From the detection by the server that recovers it until the function was recovered.
    pub(super) fn function(&self) -> f64 {
        self.steps.function()
    }
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    /// What was done; the host that was struck later comes last.
    pub(super) strikes: Vec<Strike>,
    /// Of the targets, in their order; then of the function that the struck host had.
    pub(super) seen: Vec<Seen>,
    /// The system logs.
    pub(super) story: Story,
    /// When the trouble struck, and when the last of it was over.
    pub(super) struck: Duration,
    pub(super) ended: Duration,
    /// Without service, of each target.
    pub(super) outages: Vec<Vec<(Duration, Duration)>>,
    /// The most targets that one server managed before the trouble.
    pub(super) most_targets: usize,
    /// Backup VMs that ran when most of them did, by the server that ran them.
    pub(super) vms: BTreeMap<String, Vec<String>>,
}

/// Plays a plan.
///
/// # Errors
/// When the audit found a broken rule, or what is awaited did not come.
pub(super) fn watch(plan: &Plan) -> anyhow::Result<Watched> {
    let settings = settings(plan.profile, Topology::Ring, plan.activation);
    let round = round(settings.timings.t_im);
    let mut cluster = Cluster::ordered(&plan.ring, settings)?;
    // A server has started when its agent works too (see ARCHITECTURE.md).
    for time in [&mut cluster.times.start, &mut cluster.times.restart] {
        *time = time.saturating_sub(AGENT);
    }
    let find = |strike: &Strike| cluster.find_text(&strike.server);
    let mut targets: Vec<usize> = plan
        .strikes
        .iter()
        .map(find)
        .collect::<anyhow::Result<_>>()?;
    let mut strikes = plan.strikes.clone();
    let mut then = plan.then.as_ref();
    let mut again = None;
    let mut world = World::new(cluster, plan.seed);
    world.one_by_one = !plan.together;
    let struck = Now(round + plan.phase);
    for (target, strike) in targets.iter().zip(&plan.strikes) {
        world.plan(struck, Fault::Server(fault(strike.trouble), *target));
    }
    world.run_until(struck);
    let managed = world
        .machines
        .iter()
        .filter_map(|machine| machine.agent.as_ref());
    let most_targets = managed.map(|agent| agent.modes().len()).max().unwrap_or(0);
    let mut outages: Vec<Vec<(Duration, Duration)>> = vec![Vec::new(); targets.len()];
    let mut now = struck;
    let mut over = None;
    let (mut vms, mut most) = (BTreeMap::new(), 0);
    loop {
        for (target, outages) in targets.iter().zip(&mut outages) {
            match outages.last_mut() {
                _ if world.is_served(*target) => {}
                Some((_, until)) if *until == now.0 => *until += LOOK,
                _ => outages.push((now.0, now.0 + LOOK)),
            }
        }
        if let Some(violation) = &world.audit.violation {
            bail!("{:?}: {violation}", plan.strikes);
        }
        let running: usize = world.machines.iter().map(Machine::running).sum();
        if running > most {
            (vms, most) = (running_vms(&world), running);
        }
        let whole = now.0.subsec_millis() % 100 == 0 && now > struck;
        let unserved = whole
            .then(|| missing_service(&world, &targets, &outages, now))
            .flatten();
        if let Some(next) = then.filter(|_| whole && unserved.is_none()) {
            let host = host(&world, &next.host_of)?;
            let at = now + plan.phase;
            world.plan(at, Fault::Server(fault(next.trouble), host));
            let server = world.cluster.name(host).to_string();
            let trouble = next.trouble;
            strikes.push(Strike { server, trouble });
            targets.push(host);
            outages.push(Vec::new());
            (then, again) = (None, Some((next.host_of.clone(), at)));
        }
        let missing = match plan.until {
            _ if !whole || over.is_some() => None,
            Until::Home => world.missing(),
            Until::Function => missing_service(&world, &targets, &outages, now),
        };
        if whole && missing.is_none() {
            over = over.or(Some(now));
        }
        if over.is_some_and(|over| now.since(over) >= AFTER) {
            break;
        }
        if over.is_none() && now.since(struck) > LONGEST {
            bail!("{:?}: {}", plan.strikes, missing.unwrap_or_default());
        }
        now = now + LOOK;
        world.run_until(now);
    }
    let story = story(&world);
    let lines = story.lines();
    let see = |name: &str, struck: Now, outages: &[(Duration, Duration)]| {
        let until = again
            .as_ref()
            .map(|(_, at)| at.0)
            .filter(|at| *at > struck.0);
        let recovery = steps::read(&lines, name, struck.0, until);
        let recovery = recovery.with_context(|| format!("nobody recovered {name}"))?;
        let home = recovery
            .home
            .map(|home| home.saturating_sub(recovery.detected));
        if plan.until == Until::Home && home.is_none() {
            bail!("{name} stays away");
        }
        let mut outages = outages.iter().filter(|(from, _)| *from >= struck.0);
        Ok(Seen {
            struck: struck.0,
            by: recovery.by.to_owned(),
            steps: recovery.steps,
            target: home.map(|home| home.as_secs_f64()),
            disconnection: outages
                .next()
                .map_or(0.0, |(from, until)| (*until - *from).as_secs_f64()),
        })
    };
    let mut seen = Vec::new();
    for (number, (strike, outages)) in strikes.iter().zip(&outages).enumerate() {
        let later = again.as_ref().filter(|_| number >= plan.strikes.len());
        seen.push(see(
            &strike.server,
            later.map_or(struck, |(_, at)| *at),
            outages,
        )?);
    }
    if let Some((function, at)) = &again {
        let of = strikes.iter().position(|strike| strike.server == *function);
        seen.push(see(function, *at, of.map_or(&[], |of| &outages[of][..]))?);
    }
    Ok(Watched {
        strikes,
        seen,
        struck: struck.0,
        ended: now.0,
        outages,
        most_targets,
        vms,
        story: story.clone(),
    })
}

/// The server that runs the backup VM of a function.
fn host(world: &World, function: &str) -> anyhow::Result<usize> {
    let of = world.cluster.find_text(function)?;
    let mut machines = world.machines.iter();
    let host = machines.position(|machine| machine.vm_vip(of) > world.now);
    host.with_context(|| format!("no server runs the VM of {function}"))
}

/// Backup VMs that run, by the server that runs them.
fn running_vms(world: &World) -> BTreeMap<String, Vec<String>> {
    let servers = world.machines.iter().enumerate();
    let of = |(at, machine): (usize, &Machine)| {
        let slots = machine.slots.iter().enumerate();
        let running = slots.filter(|(_, slot)| matches!(slot.state, Some(VmState::Running { .. })));
        let vms: Vec<String> = running
            .map(|(function, _)| format!("{}b", world.cluster.name(function)))
            .collect();
        (!vms.is_empty()).then(|| (world.cluster.name(at).to_string(), vms))
    };
    servers.filter_map(of).collect()
}

/// Whose clients were not lost and served again yet.
fn missing_service(
    world: &World,
    targets: &[usize],
    outages: &[Vec<(Duration, Duration)>],
    now: Now,
) -> Option<String> {
    let mut targets = targets.iter().zip(outages);
    let missing = targets.find(|(target, outages)| {
        let over = outages.last().is_some_and(|(_, until)| *until < now.0);
        !over || !world.is_served(**target)
    });
    missing.map(|(target, _)| format!("{} is not served", world.cluster.name(*target)))
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

/// The system logs.
fn story(world: &World) -> Story {
    let mut logs: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for line in world.log.as_deref().unwrap_or_default() {
        if let What::Event(event) = &line.what {
            let (at, event) = (line.at.0, event.clone());
            logs.entry(line.server.clone())
                .or_default()
                .push(Entry { at, event });
        }
    }
    Story { logs }
}
