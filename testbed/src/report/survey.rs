//! The rows of what was measured on machines that nothing befell: Table 3 and Fig. 16.

use super::calibration::Calibration;
use super::figures::Row;
use super::paper::Paper;
use super::result::RunResult;
use crate::experiment::spec::Load;
use crate::experiment::survey;
use ringward::cluster::Activation;

fn row(target: &str, label: &str, paper: Option<f64>, ours: impl Iterator<Item = f64>) -> Row {
    Row {
        target: target.to_owned(),
        label: label.to_owned(),
        paper_measured: paper,
        paper_analytical: None,
        our_analytical: None,
        our_measured: ours.collect(),
    }
}

/// Table 3: what the machines are like. The paper gives one start for all servers.
#[must_use]
pub fn machines(paper: &Paper, calibration: &Calibration) -> Vec<Row> {
    let t = &paper.table3;
    let mut rows = Vec::new();
    for (server, times) in &calibration.servers {
        let all = [
            ("start T_ts", Some(t.t_ts), times.start),
            ("restart T_tr", Some(t.t_tr), times.restart),
            (
                "service examination T_se",
                paper.service_exam(server),
                times.service_exam,
            ),
            (
                "start of the backup VM, not suspended",
                Some(t.vm_cold_start),
                times.vm_cold_start,
            ),
            (loaded(), Some(t.t_v), times.activation_standby),
            (restored(), Some(t.t_v), times.activation_restore),
        ];
        let known = all.into_iter().filter(|(_, _, ours)| ours.is_some());
        rows.extend(known.map(|(label, paper, ours)| row(server, label, paper, ours.into_iter())));
    }
    rows.push(row(
        "any",
        "network examination, connected",
        Some(t.network_exam_ok),
        calibration.network_exam.into_iter(),
    ));
    rows
}

/// Fig. 16: T_v of the VM of `of` on `on` under each load, in both ways of activating.
#[must_use]
pub fn under_load(paper: &Paper, of: &str, on: &str, runs: &[RunResult]) -> Vec<Row> {
    let whole = runs.iter().max_by_key(|run| run.under_load.len());
    let loads = whole.map_or(&[][..], |run| &run.under_load);
    let mut rows = Vec::new();
    for (load, _) in loads {
        let measured = |way: Activation| {
            let of_load = runs.iter().flat_map(|run| &run.under_load);
            let times = of_load.filter(move |(other, _)| other == load);
            times.filter_map(move |(_, times)| match way {
                Activation::Standby => times.activation_standby,
                Activation::Restore => times.activation_restore,
            })
        };
        let paper = match load {
            Load::None => paper.fig16.none,
            Load::Downloads => paper.fig16.downloads,
            Load::Uploads => paper.fig16.uploads,
            Load::Jobs => paper.fig16.jobs,
        };
        let target = format!("{of} on {on}, {}", survey::words(*load));
        for (label, way) in [
            (loaded(), Activation::Standby),
            (restored(), Activation::Restore),
        ] {
            rows.push(row(&target, label, Some(paper), measured(way)));
        }
    }
    rows
}

fn loaded() -> &'static str {
    "activation T_v, loaded and paused"
}

fn restored() -> &'static str {
    "activation T_v, restored from the share"
}
