//! Experiment files played in virtual time, with the characteristics of the paper's Table 3.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ringward::cluster::{Activation, Mac, Settings};

use super::scenario::settings;
use super::watch::{Plan, Seen, Watched, watch};
use crate::experiment::fault;
use crate::experiment::session::Material;
use crate::experiment::site::Facts;
use crate::experiment::spec::{Experiment, Strike};
use crate::report::access::Access;
use crate::report::calibration::{Calibration, ServerTimes};
use crate::report::logs::{self, Exhibit};
use crate::report::paper::Paper;
use crate::report::result::{RunResult, TargetResult};
use crate::report::timeline::{self, Lane, Scene};

/// How long before the trouble the client begins.
const LEAD: Duration = Duration::from_secs(5);

/// Plays an experiment, once: it would go the same way again. If a rule was broken, or something
/// awaited did not come, the run has failed.
///
/// # Errors
/// When the paper's figures cannot be read.
pub fn play(experiment: &Experiment, ring: &[&str]) -> anyhow::Result<Material> {
    let paper = Paper::load().context("reading the paper's figures")?;
    let began = Instant::now();
    let watched = watch(&plan(experiment, ring));
    let mut run = RunResult {
        number: 1,
        took_s: began.elapsed().as_secs_f64(),
        ..RunResult::default()
    };
    let mut exhibit = None;
    match watched {
        Ok(watched) => {
            run.targets = targets(experiment, &watched);
            run.spreads = watched.spreads.clone();
            exhibit = Some(show(experiment, ring, &watched));
        }
        Err(error) => run.failures.push(format!("{error:#}")),
    }
    Ok(Material {
        calibration: characteristics(&paper, ring),
        settings: Some(in_force(experiment)),
        facts: Facts {
            accelerator: "no emulator: the simulator, in virtual time".to_owned(),
            ..Facts::default()
        },
        runs: vec![run],
        exhibits: vec![exhibit],
    })
}

fn in_force(experiment: &Experiment) -> Settings {
    let topology = experiment.conditions.topology.unwrap_or_default();
    settings(experiment.profile, topology, Activation::Restore)
}

fn plan(experiment: &Experiment, ring: &[&str]) -> Plan {
    Plan {
        ring: ring.iter().map(|name| (*name).to_owned()).collect(),
        settings: in_force(experiment),
        stress: experiment.conditions.stress.clone(),
        strikes: experiment.strikes.clone(),
        then: experiment.then.clone(),
        phase: experiment.moment.after_s(in_force(experiment).timings.t_im),
        until: experiment.until,
        together: true,
    }
}

/// What the simulator's machines are like: as the paper's.
fn characteristics(paper: &Paper, ring: &[&str]) -> Calibration {
    let of = |name: &&str| {
        let c = paper.parameters(name)?.characteristics;
        let times = ServerTimes {
            start: Some(c.t_ts),
            restart: Some(c.t_tr),
            service_exam: Some(c.t_se),
            activation_standby: None,
            activation_restore: Some(c.t_v),
            vm_cold_start: Some(paper.table3.vm_cold_start),
        };
        Some(((*name).to_owned(), times))
    };
    Calibration {
        servers: ring.iter().filter_map(of).collect(),
        ..Calibration::default()
    }
}

fn targets(experiment: &Experiment, watched: &Watched) -> Vec<TargetResult> {
    let target = |seen: &Seen| {
        let accesses = accesses(experiment, watched, &seen.outages);
        TargetResult::new(
            &seen.server,
            Some(seen.recovery.clone()),
            &accesses,
            experiment.poll,
            seen.struck,
        )
    };
    watched.seen.iter().map(target).collect()
}

/// The run as a picture, and its logs. Who held a VIP is not drawn: no capture tells it.
fn show(experiment: &Experiment, ring: &[&str], watched: &Watched) -> Exhibit {
    let lane = |(at, name): (usize, &&str)| {
        let last = u8::try_from(at + 1).unwrap_or(u8::MAX);
        Lane {
            name: (*name).to_owned(),
            vip: Ipv4Addr::new(10, 1, 0, last),
            mac: Mac([0, 0, 0, 0, 0, last]),
        }
    };
    let lanes: Vec<Lane> = ring.iter().enumerate().map(lane).collect();
    let words = |strike: &Strike| fault::words(strike.trouble, &strike.server, "its service");
    let what: Vec<String> = watched.strikes.iter().map(words).collect();
    let struck = watched.seen.iter().take(watched.strikes.len());
    let accesses: Vec<(String, Vec<Access>)> = struck
        .map(|seen| {
            (
                seen.server.clone(),
                accesses(experiment, watched, &seen.outages),
            )
        })
        .collect();
    let targets: Vec<String> = accesses.iter().map(|(name, _)| name.clone()).collect();
    let logs = match (&watched.seen[..], &accesses[..]) {
        ([seen], [(target, accesses)]) => {
            let actor = Some(seen.recovery.by.as_str());
            logs::columns(&watched.story, target, actor, watched.struck, accesses)
        }
        _ => Vec::new(),
    };
    let picture = timeline::svg(&Scene {
        title: &experiment.title,
        what: &what.join(", "),
        struck: watched.struck,
        lanes: &lanes,
        targets: &targets,
        story: &watched.story,
        owners: None,
        accesses: &accesses,
    });
    Exhibit { picture, logs }
}

/// What the experiment's client would have seen, from before the trouble to the end.
fn accesses(
    experiment: &Experiment,
    watched: &Watched,
    outages: &[(Duration, Duration)],
) -> Vec<Access> {
    let mut at = watched.struck.saturating_sub(LEAD);
    let mut accesses = Vec::new();
    while at <= watched.ended {
        let out = |(from, until): &(Duration, Duration)| (*from..*until).contains(&at);
        let failure = outages.iter().any(out).then(|| "no answer".to_owned());
        accesses.push(Access { at, failure });
        at += experiment.poll;
    }
    accesses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::catalogue;

    const RING: [&str; 6] = catalogue::tests::SERVERS;

    /// Tables 1 and 2 for six servers: 1, 1, 1, 2, 5 in a ring, k in a star.
    #[test]
    fn one_server_after_the_other_is_lost() {
        let spreads = |name| {
            let experiment = &catalogue::find(name, &RING).unwrap()[0];
            let run = play(experiment, &RING).unwrap().runs.remove(0);
            assert!(run.is_good(), "{run:?}");
            let spreads = run.spreads.iter();
            spreads
                .map(|of| (of.group, of.most_targets, of.most_vms()))
                .collect::<Vec<_>>()
        };
        let ring = [
            (6, 2, 0),
            (5, 2, 1),
            (4, 2, 1),
            (3, 2, 1),
            (2, 1, 2),
            (1, 0, 5),
        ];
        assert_eq!(spreads("table2/ring"), ring);
        let star = [
            (6, 5, 0),
            (5, 4, 1),
            (4, 3, 2),
            (3, 2, 3),
            (2, 1, 4),
            (1, 0, 5),
        ];
        assert_eq!(spreads("table2/star"), star);
    }

    #[test]
    fn an_experiment_file_runs_in_virtual_time() {
        let experiment = &catalogue::find("fig14/st2-nt2", &RING).unwrap()[0];
        let material = play(experiment, &RING).unwrap();
        let run = &material.runs[0];
        assert!(run.is_good(), "{run:?}");
        let by = run.targets.iter().map(|of| of.actor.as_deref().unwrap());
        assert_eq!(
            by.collect::<Vec<_>>(),
            ["mail", "web2"],
            "web1 and ftp, which it managed"
        );
        let exhibit = material.exhibits[0].as_ref().unwrap();
        assert!(
            exhibit
                .picture
                .contains("web1: shut down, ftp: its service stopped")
        );
    }
}
