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
use crate::report::logs::{self, Exhibit};
use crate::report::owners::Owners;
use crate::report::result::{Placement, RunResult, Spread, TargetResult};
use crate::report::steps;
use crate::report::story::Story;
use crate::report::timeline::{self, Lane, Scene};
use ringward::cluster::{Operation, ServerCondition};
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

    let Some(struck) = run.struck else {
        let result = RunResult {
            number,
            took_s: now.saturating_sub(began).as_secs_f64(),
            failures,
            findings: Vec::new(),
            targets: Vec::new(),
            spread: None,
            placements: Vec::new(),
        };
        return Judged {
            result,
            owners: None,
            exhibit: None,
        };
    };

    let on_lab = on_lab(run, &names, struck);
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
        TargetResult::new(target, recovery, accesses, struck)
    };
    let again = run.again.as_ref().map(|(_, at)| *at);
    let first = experiment.strikes.iter();
    let first = first.map(|strike| result_of(&strike.server, struck, again));
    let mut targets: Vec<TargetResult> = first.collect();
    if let (Some((host, at)), Some(then)) = (&run.again, &experiment.then) {
        // The function that was hosted there is recovered once more.
        targets.push(result_of(&host.server, *at, None));
        targets.push(result_of(&then.host_of, *at, None));
    }
    if failures.is_empty() {
        failures.extend(
            targets
                .iter()
                .zip(&experiment.strikes)
                .flat_map(|(target, strike)| lacking(experiment, strike.trouble, target)),
        );
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
        targets,
        spread: spread(&strikes, &run.servers, &run.looks),
        placements: placements(&strikes, &run.servers, &run.looks, &story),
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

/// How management and backup VMs were spread, by looks at the ring: before the trouble, and when all
/// functions were served again.
fn spread(
    strikes: &[Strike],
    servers: &[SiteServer],
    looks: &[(Duration, RingState)],
) -> Option<Spread> {
    let (_, before) = looks.first()?;
    let operation = before.files.get("operation")?;
    let operation = Operation::parse("operation", operation).ok()?;
    let most_targets = operation.managers().map(|name| operation.on(name).count());
    let vms = looks.iter().map(|(_, look)| &look.vms);
    let vms = vms.max_by_key(|vms| vms.values().map(BTreeSet::len).sum::<usize>())?;
    let running = vms.iter().filter(|(_, vms)| !vms.is_empty());
    let running = running.map(|(server, vms)| (server.clone(), vms.iter().cloned().collect()));
    let spread = Spread {
        servers: servers.len(),
        most_targets: most_targets.max().unwrap_or(0),
        moved: strikes.iter().filter(|s| s.trouble.needs_backup()).count(),
        vms: running.collect(),
    };
    (spread.moved > 0).then_some(spread)
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
/// afterwards.
fn on_lab<'a>(
    run: &'a Run<'_>,
    targets: &'a [String],
    struck: Duration,
) -> impl Fn(&str, Duration) -> Duration + 'a {
    let [before, after] = &run.clocks;
    move |machine: &str, at: Duration| {
        let restarted =
            targets.iter().any(|target| target == machine) && before.to_lab(machine, at) > struck;
        let clocks = if restarted { after } else { before };
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
