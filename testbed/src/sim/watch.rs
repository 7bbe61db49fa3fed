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
use crate::report::steps::{self, Recovery};
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
}

/// What was seen of one target.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) server: String,
    /// When trouble struck it.
    pub(super) struck: Duration,
    pub(super) recovery: Recovery,
    /// When it was without service, since the first trouble.
    pub(super) outages: Vec<(Duration, Duration)>,
}

impl Seen {
    /// From the detection by the server that recovers it until the function was recovered, in
    /// seconds; 0 if it never moved.
    pub(super) fn function(&self) -> f64 {
        self.recovery.measured.function.unwrap_or_default()
    }

    /// From the same until the target was recovered, in seconds; 0 if that was not awaited.
    pub(super) fn target(&self) -> f64 {
        self.recovery.measured.target.unwrap_or_default()
    }

    /// Without service after the trouble, in seconds.
    pub(super) fn disconnection(&self) -> f64 {
        let mut after = self.outages.iter().filter(|(from, _)| *from >= self.struck);
        after
            .next()
            .map_or(0.0, |(from, until)| (*until - *from).as_secs_f64())
    }
}

/// All that was seen.
#[derive(Debug)]
pub(super) struct Watched {
    /// What was done; the host that was struck later comes last.
    pub(super) strikes: Vec<Strike>,
    /// Of those that were struck, in their order; then of the function that the struck host had.
    pub(super) seen: Vec<Seen>,
    /// The system logs.
    pub(super) story: Story,
    /// When the trouble struck, and when the last of it was over.
    pub(super) struck: Duration,
    pub(super) ended: Duration,
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
    let mut world = World::new(cluster, 1);
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
    let (mut over, mut missing) = (None, None);
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
        if whole && over.is_none() {
            let unserved = missing_service(&world, &targets, &outages, now);
            if let Some(next) = then.take_if(|_| unserved.is_none()) {
                let host = host(&world, &next.host_of)?;
                let at = now + plan.phase;
                world.plan(at, Fault::Server(fault(next.trouble), host));
                strikes.push(Strike {
                    server: world.cluster.name(host).to_string(),
                    trouble: next.trouble,
                });
                targets.push(host);
                outages.push(Vec::new());
                again = Some((next.host_of.clone(), at.0));
            } else {
                missing = match plan.until {
                    Until::Home => world.missing(),
                    Until::Function => unserved,
                };
                over = missing.is_none().then_some(now);
            }
        }
        if over.is_some_and(|over: Now| now.since(over) >= AFTER) {
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
    let see = |server: &str, struck: Duration, until, outages: &[(Duration, Duration)]| {
        let recovery = steps::read(&lines, server, struck, until);
        let recovery = recovery.with_context(|| format!("nobody recovered {server}"))?;
        if plan.until == Until::Home && recovery.measured.target.is_none() {
            bail!("{server} stays away");
        }
        Ok(Seen {
            server: server.to_owned(),
            struck,
            recovery,
            outages: outages.to_vec(),
        })
    };
    let later = again.as_ref().map(|(_, at)| *at);
    let (mut seen, first) = (Vec::new(), plan.strikes.len());
    for (number, (strike, outages)) in strikes.iter().zip(&outages).enumerate() {
        let (at, until) = match later.filter(|_| number >= first) {
            Some(later) => (later, None),
            None => (struck.0, later),
        };
        seen.push(see(&strike.server, at, until, outages)?);
    }
    if let Some((function, at)) = &again {
        let of = strikes.iter().position(|strike| strike.server == *function);
        let outages = of.map_or(&[][..], |of| &outages[of]);
        seen.push(see(function, *at, None, outages)?);
    }
    drop(lines);
    Ok(Watched {
        strikes,
        seen,
        story,
        struck: struck.0,
        ended: now.0,
        most_targets,
        vms,
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
