//! Troubles played in virtual time, and what is read off the logs and off the VIPs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringward::cluster::Settings;
use ringward::cluster::ring::operation;
use ringward::manage::Now;

use super::cluster::Cluster;
use super::fault::{Fault, OnServer};
use super::log::What;
use super::machine::{Machine, VmState};
use super::world::{AGENT, World};
use crate::experiment::spec::{PAPERS_MEMORY_MB, Strike, Then, TroubleKind, Until, Whom};
use crate::report::result::Spread;
use crate::report::steps::{self, Recovery};
use crate::report::story::{Entry, Story};

/// A round begins: the third since the start, so that the cluster is at rest.
fn round(t_im: Duration) -> Duration {
    t_im * 2 + Duration::from_millis(10)
}

/// What a server of the paper needs for itself. Only one under stress is as small as the paper's: the
/// others have room for the VMs of all, or no server could host all but one.
const OWN_MEMORY_MB: u32 = 1024;

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
    pub(super) settings: Settings,
    /// Memory that is taken on some servers, MB of the paper's.
    pub(super) stress: BTreeMap<String, u32>,
    pub(super) strikes: Vec<Strike>,
    /// What follows once all functions are served again.
    pub(super) then: Vec<Then>,
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
    /// How management and backup VMs were spread, before the trouble and whenever all functions were
    /// served again.
    pub(super) spreads: Vec<Spread>,
}

/// What was done at one moment.
struct Stage {
    at: Duration,
    strikes: Vec<Strike>,
    /// The function whose VM was lost with its host.
    hosted: Option<String>,
}

/// Plays a plan.
///
/// # Errors
/// When the audit found a broken rule, or what is awaited did not come.
pub(super) fn watch(plan: &Plan) -> anyhow::Result<Watched> {
    let round = round(plan.settings.timings.t_im);
    let mut cluster = Cluster::ordered(&plan.ring, plan.settings.clone())?;
    for (server, taken) in &plan.stress {
        let at = cluster.find_text(server)?;
        let left = PAPERS_MEMORY_MB.saturating_sub(OWN_MEMORY_MB + taken);
        cluster.room_kb[at] = u64::from(left) * 1024;
    }
    // A server has started when its agent works too (see ARCHITECTURE.md).
    for time in [&mut cluster.times.start, &mut cluster.times.restart] {
        *time = time.saturating_sub(AGENT);
    }
    let mut world = World::new(cluster, 1);
    world.one_by_one = !plan.together;
    let struck = Now(round + plan.phase);
    let mut stages = vec![Stage {
        at: struck.0,
        strikes: plan.strikes.clone(),
        hosted: None,
    }];
    let mut targets: Vec<usize> = Vec::new();
    for strike in &plan.strikes {
        targets.push(strike_at(&mut world, struck, strike)?);
    }
    world.run_until(struck);
    let mut spreads = vec![spread(&world, 0)];
    let mut outages: Vec<Vec<(Duration, Duration)>> = vec![Vec::new(); targets.len()];
    let mut then = plan.then.iter();
    let mut now = struck;
    let (mut over, mut missing) = (None, None);
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
        let whole = now.0.subsec_millis() % 100 == 0 && stages.iter().all(|of| now.0 > of.at);
        if whole && over.is_none() {
            let unserved = missing_service(&world, &targets, &outages, now);
            if unserved.is_none() && spreads.len() <= stages.len() {
                let strikes = stages.iter().flat_map(|stage| &stage.strikes);
                let moved = strikes.filter(|s| s.trouble.needs_backup()).count();
                spreads.push(spread(&world, moved));
            }
            if let (None, Some(next)) = (&unserved, then.as_slice().first()) {
                then.next();
                let (server, hosted) = whom(&world, next)?;
                let (at, trouble) = (now + plan.phase, next.trouble);
                let strike = Strike { server, trouble };
                let target = strike_at(&mut world, at, &strike)?;
                if !targets.contains(&target) {
                    targets.push(target);
                    outages.push(Vec::new());
                }
                stages.push(Stage {
                    at: at.0,
                    strikes: vec![strike],
                    hosted,
                });
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
    let mut seen = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        let until = stages.get(number + 1).map(|next| next.at);
        let servers = stage.strikes.iter().map(|strike| &strike.server);
        for server in servers.chain(&stage.hosted) {
            let recovery = steps::read(&lines, server, stage.at, until);
            let recovery = recovery.with_context(|| format!("nobody recovered {server}"))?;
            if plan.until == Until::Home && recovery.measured.target.is_none() {
                bail!("{server} stays away");
            }
            let target = world.cluster.find_text(server)?;
            let place = targets.iter().position(|other| *other == target);
            seen.push(Seen {
                server: server.clone(),
                struck: stage.at,
                recovery,
                outages: place.map(|at| outages[at].clone()).unwrap_or_default(),
            });
        }
    }
    drop(lines);
    Ok(Watched {
        strikes: stages.into_iter().flat_map(|stage| stage.strikes).collect(),
        seen,
        story,
        struck: struck.0,
        ended: now.0,
        spreads,
    })
}

/// Plans a trouble and gives the number of the server that it befalls.
fn strike_at(world: &mut World, at: Now, strike: &Strike) -> anyhow::Result<usize> {
    let target = world.cluster.find_text(&strike.server)?;
    if strike.trouble == TroubleKind::Dead {
        world.plan(at, Fault::Server(OnServer::WolFailure, target));
    }
    world.plan(at, Fault::Server(fault(strike.trouble), target));
    Ok(target)
}

/// Whom the next trouble befalls, and whose backup VM it hosts, if it is struck for that.
fn whom(world: &World, then: &Then) -> anyhow::Result<(String, Option<String>)> {
    Ok(match &then.whom {
        Whom::Server(server) => (server.clone(), None),
        Whom::HostOf(function) => {
            let host = host(world, function)?;
            (world.cluster.name(host).to_string(), Some(function.clone()))
        }
    })
}

/// How management and backup VMs are spread.
fn spread(world: &World, moved: usize) -> Spread {
    let agents = world.machines.iter().filter(|machine| machine.answers());
    let agents = agents.filter_map(|machine| machine.agent.as_ref());
    let topology = world.cluster.settings.topology;
    let managed = agents.clone().map(|agent| {
        let operation = operation(agent.group(), topology);
        let tasks = operation.managers().map(|name| operation.on(name).count());
        tasks.max().unwrap_or(0)
    });
    Spread {
        servers: world.machines.len(),
        group: agents.map(|agent| agent.group().len()).min().unwrap_or(0),
        most_targets: managed.max().unwrap_or(0),
        moved,
        vms: running_vms(world),
    }
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
        TroubleKind::Nt2 | TroubleKind::Cut | TroubleKind::Dead => OnServer::PowerOff,
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
