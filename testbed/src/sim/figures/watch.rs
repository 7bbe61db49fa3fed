//! A trouble of Figs. 13 to 15 played, and what is read off its log and off the VIPs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use ringward::cluster::{Activation, Profile, Topology};
use ringward::manage::{Event, Now};

use crate::experiment::spec::TroubleKind;
use crate::sim::cluster::Cluster;
use crate::sim::fault::{Fault, OnServer};
use crate::sim::log::{Line, What};
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

/// What was seen of one target, in seconds: the time from the trouble until its function was
/// recovered, step by step, and what Fig. 13 has besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// Until one of its managers detected the trouble.
    pub(super) found: f64,
    /// Until the server that recovers it did.
    pub(super) taken_over: f64,
    /// Until a backup VM was ordered. This and the following are 0 in St1, which needs none.
    pub(super) examined: f64,
    /// Until it was ordered on the host that started it.
    pub(super) elsewhere: f64,
    /// Until it ran.
    pub(super) started: f64,
    /// Until it had the VIP.
    pub(super) set: f64,
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
        self.examined + self.elsewhere + self.started + self.set
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
        TroubleKind::Nt2 => OnServer::PowerOff,
    }
}

/// Times are read off the logs (section 4.3).
fn read(world: &World, target: &str, struck: Now, outages: &[(Now, Now)]) -> anyhow::Result<Seen> {
    let log = Log {
        lines: world.log.as_deref().unwrap_or_default(),
        target,
    };
    let (home, server) = log
        .last(None, Step::Home)
        .with_context(|| format!("{target} stays away"))?;
    let (found, _) = log
        .first(None, Step::Trouble)
        .with_context(|| format!("nobody detected the trouble of {target}"))?;
    let ordered = log.first(None, Step::Ordered).map(|(at, _)| at);
    // The one with which it began to recover: a P2 detects the trouble once more when it takes P1's
    // part. Who took the recovery over later detected nothing itself.
    let before = |(at, _): &(Now, &str)| ordered.is_none_or(|ordered| *at <= ordered);
    let detected = log.all(Some(server), Step::Trouble).filter(before).last();
    let detected = detected.or_else(|| log.all(None, Step::Trouble).filter(before).last());
    let detected = detected.map_or(found, |(at, _)| at);
    let last = |step| log.last(None, step).map(|(at, _)| at);
    let marks = [
        ordered,
        last(Step::Ordered),
        last(Step::Started),
        last(Step::Served),
    ];
    let mut steps = [0.0; 4];
    let mut from = detected;
    for (step, mark) in steps.iter_mut().zip(marks) {
        if let Some(mark) = mark {
            *step = mark.since(from).as_secs_f64();
            from = mark;
        }
    }
    let [examined, elsewhere, started, set] = steps;
    let span = |(from, until): &(Now, Now)| until.since(*from).as_secs_f64();
    let later = outages.iter().skip(1).map(span);
    Ok(Seen {
        found: found.since(struck).as_secs_f64(),
        taken_over: detected.since(found).as_secs_f64(),
        examined,
        elsewhere,
        started,
        set,
        target: home.since(detected).as_secs_f64(),
        disconnection: outages.first().map_or(0.0, span),
        homecoming: later.fold(0.0, |sum, span| sum + span),
    })
}

/// What the log tells of one target.
struct Log<'a> {
    lines: &'a [Line],
    target: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Trouble,
    Ordered,
    Started,
    Served,
    Home,
}

impl<'a> Log<'a> {
    fn first(&self, server: Option<&str>, step: Step) -> Option<(Now, &'a str)> {
        self.all(server, step).next()
    }

    fn last(&self, server: Option<&str>, step: Step) -> Option<(Now, &'a str)> {
        self.all(server, step).last()
    }

    fn all(&self, server: Option<&str>, step: Step) -> impl Iterator<Item = (Now, &'a str)> {
        let here = move |line: &&Line| server.is_none_or(|server| server == line.server);
        let lines = self.lines.iter().filter(here);
        let is = move |line: &&Line| match &line.what {
            What::Event(event) => Step::of(event, self.target) == Some(step),
            _ => false,
        };
        lines.filter(is).map(|line| (line.at, line.server.as_str()))
    }
}

impl Step {
    fn of(event: &Event, target: &str) -> Option<Self> {
        let (of, step) = match event {
            Event::NetworkTrouble { target } | Event::ServiceTrouble { target, .. } => {
                (target, Self::Trouble)
            }
            Event::VmStart { target, .. } => (target, Self::Ordered),
            Event::VmStarted { target, .. } => (target, Self::Started),
            Event::FunctionRecovered { target, .. } => (target, Self::Served),
            Event::TargetRecovered { target, .. } | Event::ServiceRecovered { target } => {
                (target, Self::Home)
            }
            _ => return None,
        };
        (of.as_str() == target).then_some(step)
    }
}
