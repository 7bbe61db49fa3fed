//! The rows of a report: each figure of the paper beside ours.
//!
//! Four columns for every time: what the paper measured, what its equation gives there, what the
//! same equation gives with our machines and settings, and what was read off our logs. Repeats
//! give a median with its spread.

use super::access::PAPERS_CLIENT;
use super::analytical::{self, Parameters, Recovery, Span};
use super::calibration::Calibration;
use super::paper::{Beside, Paper};
use crate::experiment::spec::{Experiment, Measure, Strike, TroubleKind, Whom};
use ringward::cluster::Activation;
use serde::{Deserialize, Serialize};

/// What was read off the logs of one run about one target, in seconds. `None`: the logs do not
/// show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// VIP set on the backup VM, since the trouble was detected.
    pub function: Option<f64>,
    /// Target server recovered, since the trouble was detected.
    pub target: Option<f64>,
    /// First failed access to the next good one, at the experiment's own interval.
    pub disconnection: Option<f64>,
    /// The same for a client that looks once a second, as the paper's did.
    pub disconnection_1s: Option<f64>,
    /// Activation of the backup VM, T_v: from the order until its guest has the VIP.
    pub activation: Option<f64>,
    /// The part of it until the backup VM runs, which is what the paper measured (section 4.1: by the command
    /// `time`).
    pub runs: Option<f64>,
    /// Start of the target, T_ts: from the wake-on-LAN until its function is at home.
    pub start: Option<f64>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The server it is about.
    pub target: String,
    /// What the time is.
    pub label: String,
    /// The paper's measurement.
    pub paper_measured: Option<f64>,
    /// The paper's equation with the paper's Table 3.
    pub paper_analytical: Option<Span>,
    /// The paper's equation with our machines and settings.
    pub our_analytical: Option<Span>,
    /// Our measurements, one a run.
    pub our_measured: Vec<f64>,
}

impl Row {
    /// The median of our measurements.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        median(self.our_measured.clone())
    }

    /// Smallest and largest of several measurements.
    #[must_use]
    pub fn spread(&self) -> Option<(f64, f64)> {
        let several = self.our_measured.len() > 1;
        let low = self.our_measured.iter().copied().reduce(f64::min)?;
        let high = self.our_measured.iter().copied().reduce(f64::max)?;
        several.then_some((low, high))
    }

    /// Our median less our analytical value.
    #[must_use]
    pub fn difference(&self) -> Option<f64> {
        Some(self.median()? - self.our_analytical?.value)
    }
}

/// The middle one of some values (of an even number, the mean of the middle two).
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// A value without a range.
fn exactly(value: f64) -> Span {
    Span {
        value,
        plus_minus: 0.0,
    }
}

/// All rows of an experiment, target by target. `runs` holds, for every run, what was measured on
/// the targets in the experiment's order.
#[must_use]
pub fn rows(
    experiment: &Experiment,
    paper: &Paper,
    settings: analytical::Settings,
    calibration: &Calibration,
    activation: Activation,
    runs: &[Vec<Measured>],
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, strike) in experiment.strikes.iter().enumerate() {
        let target = &strike.server;
        let beside = paper.beside(&experiment.strikes, target);
        let measured: Vec<Measured> = runs
            .iter()
            .filter_map(|run| run.get(index).copied())
            .collect();
        let in_log = median(measured.iter().filter_map(|m| m.activation).collect());
        let characteristics = calibration.characteristics(target, activation, in_log);
        let ours = Parameters {
            settings,
            characteristics,
        };
        let theirs = paper.parameters(target);
        rows.extend(rows_of(
            experiment,
            strike,
            beside,
            [theirs, Some(ours)],
            &measured,
        ));
        rows.extend(start_row(paper, target, calibration, &measured));
        if experiment.wants(Measure::Activation, strike.trouble) {
            rows.extend(activation_rows(
                beside.activation,
                target,
                calibration,
                activation,
                &measured,
            ));
        }
    }
    rows
}

/// The rows of what followed, for which the paper has neither figures nor equations. Which server hosted a
/// VM may differ from run to run.
#[must_use]
pub fn rows_then(experiment: &Experiment, runs: &[Vec<Measured>]) -> Vec<Row> {
    let mut index = experiment.strikes.len();
    let mut rows = Vec::new();
    for then in &experiment.then {
        let about = match &then.whom {
            Whom::Server(server) => vec![server.clone()],
            Whom::HostOf(function) => {
                vec!["its host".to_owned(), format!("{function}, once more")]
            }
        };
        for who in about {
            let of = runs.iter().filter_map(|run| run.get(index).copied());
            rows.extend(rows_after(&who, &of.collect::<Vec<_>>()));
            index += 1;
        }
    }
    rows
}

fn rows_after(who: &str, measured: &[Measured]) -> Vec<Row> {
    let row = |label: &str, read: fn(&Measured) -> Option<f64>| Row {
        target: who.to_owned(),
        label: label.to_owned(),
        paper_measured: None,
        paper_analytical: None,
        our_analytical: None,
        our_measured: measured.iter().filter_map(read).collect(),
    };
    vec![
        row("function recovery", |m| m.function),
        row("access disconnection", |m| m.disconnection),
    ]
}

/// The rows for one target, beside the paper's figures and by its equations with the paper's
/// parameters and with ours.
fn rows_of(
    experiment: &Experiment,
    strike: &Strike,
    beside: Beside,
    parameters: [Option<Parameters>; 2],
    measured: &[Measured],
) -> Vec<Row> {
    let trouble = strike.trouble;
    let [theirs, ours] = parameters.map(|p| p.map(|p| analytical::recovery(trouble, &p)));

    let row = |measure: Measure,
               label: &str,
               paper_measured: Option<f64>,
               span: fn(&Recovery) -> Option<Span>,
               read: fn(&Measured) -> Option<f64>| {
        experiment.wants(measure, trouble).then(|| Row {
            target: strike.server.clone(),
            label: label.to_owned(),
            paper_measured,
            paper_analytical: theirs.as_ref().and_then(span),
            our_analytical: ours
                .as_ref()
                .and_then(span)
                .filter(|span| span.value.is_finite()),
            our_measured: measured.iter().filter_map(read).collect(),
        })
    };
    let every = format!(
        "access disconnection, every {} ms",
        experiment.poll.as_millis()
    );
    // Otherwise it is the row before.
    let oftener = experiment.poll < PAPERS_CLIENT;
    [
        row(
            Measure::Function,
            &format!("function recovery {}", symbol(trouble, 'f')),
            beside.function,
            |r| r.function.map(exactly),
            |m| m.function,
        ),
        row(
            Measure::Target,
            &format!("target recovery {}", symbol(trouble, 't')),
            beside.target,
            |r| Some(exactly(r.target)),
            |m| m.target,
        ),
        row(
            Measure::Disconnection,
            &format!("access disconnection {}, every 1 s", symbol(trouble, 'c')),
            beside.disconnection,
            |r| Some(r.disconnection),
            |m| m.disconnection_1s,
        ),
        row(
            Measure::Disconnection,
            &every,
            None,
            |r| Some(r.disconnection),
            |m| m.disconnection,
        )
        .filter(|_| oftener),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The paper's symbol, such as `T_n2f`.
pub(crate) fn symbol(trouble: TroubleKind, what: char) -> String {
    let name = match trouble {
        TroubleKind::St1 => "s1",
        TroubleKind::St2 => "s2",
        TroubleKind::Nt1 => "n1",
        TroubleKind::Nt2 | TroubleKind::Cut | TroubleKind::Dead | TroubleKind::Freeze => "n2",
    };
    format!("T_{name}{what}")
}

/// T_v in both ways of activating, the one in force first, beside the T_v that the equations were
/// given. The other way is known from the calibration only. Then the one in force up to the paper's end.
fn activation_rows(
    paper_measured: Option<f64>,
    target: &str,
    calibration: &Calibration,
    activation: Activation,
    measured: &[Measured],
) -> Vec<Row> {
    let other = match activation {
        Activation::Standby => Activation::Restore,
        Activation::Restore => Activation::Standby,
    };
    let row = |way: Activation, calibrated: Option<f64>, our_measured: Vec<f64>| Row {
        target: target.to_owned(),
        label: match way {
            Activation::Standby => "activation T_v, loaded and paused".to_owned(),
            Activation::Restore => "activation T_v, restored from the share".to_owned(),
        },
        paper_measured,
        paper_analytical: None,
        our_analytical: calibrated.map(exactly),
        our_measured,
    };
    let in_run = measured.iter().filter_map(|m| m.activation).collect();
    let running: Vec<f64> = measured.iter().filter_map(|m| m.runs).collect();
    let calibrated = |way| calibration.activation(target, way);
    let other = row(other, None, calibrated(other).into_iter().collect());
    let known = !other.our_measured.is_empty();
    let first = row(activation, calibrated(activation), in_run);
    let papers_end = Row {
        label: "T_v to the paper's end: the VM runs".to_owned(),
        our_analytical: None,
        our_measured: running,
        ..first.clone()
    };
    let seen = !papers_end.our_measured.is_empty();
    std::iter::once(first)
        .chain(known.then_some(other))
        .chain(seen.then_some(papers_end))
        .collect()
}

/// T_ts of the run beside the one that the equations were given: no two starts on a busy host are
/// alike, and the target recovery differs by as much.
fn start_row(
    paper: &Paper,
    target: &str,
    calibration: &Calibration,
    measured: &[Measured],
) -> Option<Row> {
    let in_run: Vec<f64> = measured.iter().filter_map(|m| m.start).collect();
    let calibrated = calibration.servers.get(target).and_then(|of| of.start);
    (!in_run.is_empty()).then(|| Row {
        target: target.to_owned(),
        label: "start of the server T_ts".to_owned(),
        paper_measured: Some(paper.table3.t_ts),
        paper_analytical: None,
        our_analytical: calibrated.map(exactly),
        our_measured: in_run,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let row = |our_measured: Vec<f64>| Row {
            target: "ftp".to_owned(),
            label: "x".to_owned(),
            paper_measured: None,
            paper_analytical: None,
            our_analytical: Some(exactly(2.0)),
            our_measured,
        };
        assert_eq!(row(vec![]).median(), None);
        assert_eq!(row(vec![3.0]).spread(), None);
        assert_eq!(row(vec![3.0, 1.0, 9.0]).difference(), Some(1.0));
        assert_eq!(row(vec![3.0, 1.0, 9.0]).spread(), Some((1.0, 9.0)));
        assert_eq!(row(vec![4.0, 1.0]).median(), Some(2.5));
    }
}
