//! Reads a finished run: figures from its logs, the audit, the verdict and the picture.

use super::audit::{self, Evidence};
use super::client;
use super::fault;
use super::ring::RingState;
use super::rundir::RunDir;
use super::runner::Run;
use super::site::{SiteServer, node};
use super::spec::{Experiment, Measure, Strike, TroubleKind};
use crate::report::access::{self, Access};
use crate::report::explain::Hindrances;
use crate::report::logs::{self, Exhibit};
use crate::report::owners::Owners;
use crate::report::result::{Placement, RunResult, Spread, TargetResult};
use crate::report::steps;
use crate::report::story::Story;
use crate::report::timeline::{self, Lane, Scene};
use ringward::cluster::{Group, Operation, ServerCondition};
use ringward::manage::placement::non_select;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

/// A judged run.
pub struct Judged {
    /// For the report.
    pub result: RunResult,
    /// Who answered for the VIPs.
    pub owners: Option<Owners>,
    /// What shows the run, when there was a trouble.
    pub exhibit: Option<Exhibit>,
}

/// Judges the run whose files lie in `folder` of the run directory. `began` is its beginning by
/// the lab's clock.
#[must_use]
pub fn judge(
    run: &Run<'_>,
    experiment: &Experiment,
    number: u32,
    dir: &RunDir,
    folder: &str,
    began: Duration,
) -> Judged {
    let story = run.story();
    let now = run.site().now();
    let mut failures = run.failures.clone();
    let strikes = run.all_strikes();
    let names: Vec<String> = strikes.iter().map(|strike| strike.server.clone()).collect();
    let accesses: Vec<(String, Vec<Access>)> = names
        .iter()
        .map(|target| {
            let path = dir.path().join(folder).join(format!("client/{target}.log"));
            let text = std::fs::read_to_string(path).unwrap_or_default();
            (target.clone(), access::parse(&text, now))
        })
        .collect();

    let Some(struck) = run.stages.first().map(|stage| stage.at) else {
        let result = RunResult {
            number,
            took_s: now.saturating_sub(began).as_secs_f64(),
            failures,
            under_load: run.under_load.clone(),
            slowed: run.site().slowed(began),
            ..RunResult::default()
        };
        return Judged {
            result,
            owners: None,
            exhibit: None,
        };
    };

    let on_lab = on_lab(run);
    let mut story_on_lab = story.clone();
    for (server, log) in &mut story_on_lab.logs {
        for entry in log {
            entry.at = on_lab(server, entry.at);
        }
    }
    let mut accesses = accesses;
    for access in accesses.iter_mut().flat_map(|(_, accesses)| accesses) {
        access.at = on_lab(node::CLIENT, access.at);
    }
    let lines = story_on_lab.lines();
    let result_of = |target: &String, struck: Duration, until: Option<Duration>| {
        let recovery = steps::read(&lines, target, struck, until);
        let of = accesses.iter().find(|(name, _)| name == target);
        let accesses = of.map_or(&[][..], |(_, accesses)| accesses);
        let mut result = TargetResult::new(target, recovery, accesses, run.experiment.poll, struck);
        let served = struck + result.served_after();
        result.hindrances = Hindrances::count(&lines, struck, served);
        result
    };
    let mut targets: Vec<TargetResult> = Vec::new();
    for (number, stage) in run.stages.iter().enumerate() {
        let until = run.stages.get(number + 1).map(|next| next.at);
        // The function that was hosted on one of them is recovered once more.
        let servers = stage.strikes.iter().map(|strike| &strike.server);
        let servers = servers.chain(&stage.hosted);
        targets.extend(servers.map(|server| result_of(server, stage.at, until)));
    }
    if failures.is_empty() {
        let first = targets.iter().zip(&experiment.strikes);
        failures
            .extend(first.flat_map(|(target, strike)| lacking(experiment, strike.trouble, target)));
        let later = targets.iter().skip(experiment.strikes.len());
        failures.extend(later.filter(|of| of.measured.function.is_none()).map(|of| {
            let server = &of.server;
            format!("the system logs do not show a recovery of the function of {server}")
        }));
    }
    let vips: Vec<_> = run.servers.iter().map(|server| server.vip).collect();
    let since = run.looks.first().map_or(struck, |(at, _)| *at);
    let capture = dir.path().join(folder).join("lan.pcap");
    let owners = File::open(capture)
        .ok()
        .and_then(|file| Owners::read(BufReader::new(file), &vips, since).ok());
    let findings = audit::audit(&Evidence {
        servers: &run.servers,
        strikes: &strikes,
        until: experiment.until,
        looks: &run.looks,
        owners: owners.as_ref(),
        story: &story,
    });
    let took_s = run.site().now().saturating_sub(began).as_secs_f64();
    let result = RunResult {
        number,
        took_s,
        failures,
        findings,
        explanations: Vec::new(),
        targets,
        spreads: spreads(run),
        under_load: Vec::new(),
        placements: placements(&strikes, &run.servers, &run.looks, &story),
        slowed: run.site().slowed(began),
    };
    // The paper's figure is of one target.
    let logs = match (&result.targets[..], &accesses[..]) {
        ([of], [(target, accesses)]) => {
            let actor = of.actor.as_deref();
            logs::columns(&story_on_lab, target, actor, struck, accesses)
        }
        _ => Vec::new(),
    };
    let picture = draw(
        run,
        experiment,
        struck,
        &story_on_lab,
        &accesses,
        owners.as_ref(),
    );
    Judged {
        result,
        owners,
        exhibit: Some(Exhibit { picture, logs }),
    }
}

/// How management and backup VMs were spread, by looks at the ring: before any trouble, and whenever all
/// functions were served again.
fn spreads(run: &Run<'_>) -> Vec<Spread> {
    let mut moved = 0;
    let stages = run.stages.iter().filter_map(|stage| {
        let strikes = stage.strikes.iter();
        moved += strikes.filter(|s| s.trouble.needs_backup()).count();
        Some((stage.looks.checked_sub(1)?, moved))
    });
    let stages: Vec<(usize, usize)> = stages.collect();
    let spread = |(look, moved): (usize, usize)| {
        let (_, look) = run.looks.get(look)?;
        let operation = Operation::parse("operation", look.files.get("operation")?).ok()?;
        let managed = operation.managers().map(|name| operation.on(name).count());
        let group = Group::parse("group", look.files.get("group")?).ok()?;
        // A server that did not answer hides its VMs.
        if look.vms.values().map(BTreeSet::len).sum::<usize>() != moved {
            return None;
        }
        let running = look.vms.iter().filter(|(_, vms)| !vms.is_empty());
        let running = running.map(|(server, vms)| (server.clone(), vms.iter().cloned().collect()));
        Some(Spread {
            servers: run.servers.len(),
            group: group.len(),
            most_targets: managed.max().unwrap_or(0),
            moved,
            vms: running.collect(),
        })
    };
    std::iter::once((0, 0))
        .chain(stages)
        .filter_map(spread)
        .collect()
}

/// What placement went by: the condition file before the trouble, and where each VM came to be.
fn placements(
    strikes: &[Strike],
    servers: &[SiteServer],
    looks: &[(Duration, RingState)],
    story: &Story,
) -> Vec<Placement> {
    let Some((_, before)) = looks.first() else {
        return Vec::new();
    };
    let moved = strikes
        .iter()
        .filter(|strike| strike.trouble.needs_backup());
    let of = |strike: &Strike| {
        let server = servers.iter().find(|server| server.name == strike.server)?;
        let value = |line: &ServerCondition| (line.clone(), non_select(server.server_type, line));
        let others = before.condition.servers.iter();
        let others = others.filter(|line| line.name.as_str() != server.name);
        let mut servers: Vec<_> = others.map(value).collect();
        servers.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        Some(Placement {
            function: server.name.clone(),
            host: story.host(&server.name).map(str::to_owned),
            servers,
        })
    };
    moved.filter_map(of).collect()
}

/// Puts a moment by a machine's clock on the lab's. A server that was restarted has another clock
/// afterwards, if it is read then.
fn on_lab<'a>(run: &'a Run<'_>) -> impl Fn(&str, Duration) -> Duration + 'a {
    let [before, after] = &run.clocks;
    move |machine: &str, at: Duration| {
        let mut stages = run.stages.iter();
        let struck = stages.find(|stage| stage.strikes.iter().any(|s| s.server == machine));
        let restarted = struck.is_some_and(|stage| before.to_lab(machine, at) > stage.at);
        let clocks = if restarted && after.knows(machine) {
            after
        } else {
            before
        };
        clocks.to_lab(machine, at)
    }
}

/// Draws the run; logs and accesses are on the lab's clock.
fn draw(
    run: &Run<'_>,
    experiment: &Experiment,
    struck: Duration,
    story: &Story,
    accesses: &[(String, Vec<Access>)],
    owners: Option<&Owners>,
) -> String {
    let lane = |server: &SiteServer| Lane {
        name: server.name.clone(),
        vip: server.vip,
        mac: server.mac,
    };
    let lanes: Vec<Lane> = run.servers.iter().map(lane).collect();
    let strikes = run.all_strikes();
    let what = strikes.iter().filter_map(|strike| {
        let server = run.servers.iter().find(|s| s.name == strike.server)?;
        Some(fault::describe(strike.trouble, server))
    });
    let what: Vec<String> = what.collect();
    let targets: Vec<String> = strikes.into_iter().map(|strike| strike.server).collect();
    timeline::svg(&Scene {
        title: &experiment.title,
        what: &what.join(", "),
        struck,
        lanes: &lanes,
        targets: &targets,
        story,
        owners,
        accesses,
    })
}

/// Figures that the experiment asks for and the logs do not show.
fn lacking(experiment: &Experiment, trouble: TroubleKind, target: &TargetResult) -> Vec<String> {
    let m = &target.measured;
    let found = [
        (Measure::Function, m.function, "a recovery of the function"),
        (Measure::Target, m.target, "a recovery of the target"),
        (
            Measure::Activation,
            m.activation,
            "an activation of the backup VM",
        ),
        (
            Measure::Disconnection,
            m.disconnection,
            "an outage that ended",
        ),
    ];
    let path = client::log_path(&target.server);
    found
        .into_iter()
        .filter(|(measure, value, _)| experiment.wants(*measure, trouble) && value.is_none())
        .map(|(measure, _, what)| {
            let log = match measure {
                Measure::Disconnection => format!("the client's log {path}"),
                _ => "the system logs".to_owned(),
            };
            format!("{log} does not show {what} of {}", target.server)
        })
        .collect()
}
