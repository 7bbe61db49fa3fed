//! The paper's equations with what they leave out, by name.

use crate::experiment::spec::TroubleKind;
use crate::report::analytical::{Parameters, Recovery, Span, recovery};
use crate::report::paper::Paper;

/// Restart of the service programs, which the paper counts among what ends within a second.
const RESTART: f64 = 0.15;
/// A request to the share.
const REQUEST: f64 = 0.01;
/// The VM is destroyed, the next epoch claimed, the VIP set at home.
const HOME: f64 = 0.23;
/// How often the background job looks at the target (`t_wait`).
const T_WAIT: f64 = 1.0;
/// A started server's services answer so long before its agent works.
const AGENT: f64 = 0.5;

/// Something that takes time and is in no equation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Term {
    pub(super) what: &'static str,
    pub(super) seconds: Span,
}

/// A column of Fig. 13.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Function,
    Target,
    Disconnection,
}

/// Equations (10) to (18) for a server of the paper's experimental system.
///
/// # Errors
/// When Table 3 has no such server.
pub(super) fn parameters(paper: &Paper, server: &str) -> anyhow::Result<Parameters> {
    let found = paper.parameters(server);
    found.ok_or_else(|| anyhow::anyhow!("Table 3 has no T_se of {server}"))
}

/// The equation of a column.
pub(super) fn equation(trouble: TroubleKind, column: Column, p: &Parameters) -> Option<Span> {
    let Recovery {
        function,
        target,
        disconnection,
    } = recovery(trouble, p);
    match column {
        Column::Function => function.map(exactly),
        Column::Target => Some(exactly(target)),
        Column::Disconnection => Some(disconnection),
    }
}

/// What it leaves out here.
pub(super) fn own(trouble: TroubleKind, column: Column, p: &Parameters, ping: f64) -> Vec<Term> {
    let t_se = p.characteristics.t_se;
    let term = |what, seconds| Term { what, seconds };
    let examined = term("network examined before a restart", exactly(ping));
    let restart = term("services restarted", exactly(RESTART));
    let again = term(
        "refused services are looked at 10 times in T_wait",
        between(0.0, T_WAIT / 10.0),
    );
    let claim = term("claim made on the share", exactly(REQUEST));
    let host = term(
        "host reads the claim, before VM and VIP",
        exactly(2.0 * REQUEST),
    );
    let job = term(
        "background job looks once in T_wait, agent starts after the services",
        between(-t_se, T_WAIT - AGENT),
    );
    let home = term("VM destroyed, home claimed, VIP set", exactly(HOME));
    let finds = term("network examined before the service", exactly(ping));
    let repair = [examined, restart, again, claim];
    match (trouble, column) {
        (TroubleKind::St1, Column::Target) => {
            let after = term("network examined after it", exactly(ping));
            vec![examined, restart, after]
        }
        (TroubleKind::St1, _) => {
            let served = term("clients are served before it is examined", exactly(-t_se));
            vec![finds, examined, restart, served]
        }
        (TroubleKind::St2, Column::Function) => [&repair[..], &[host]].concat(),
        (TroubleKind::St2, Column::Target) => [&repair[..], &[job, home]].concat(),
        (TroubleKind::St2, Column::Disconnection) => [&[finds], &repair[..], &[host]].concat(),
        (_, Column::Target) => vec![job, home],
        (_, _) => vec![host],
    }
}

/// Values of terms together.
pub(super) fn sum(terms: &[Term]) -> Span {
    let add = |sum: Span, term: &Term| Span {
        value: sum.value + term.seconds.value,
        plus_minus: sum.plus_minus + term.seconds.plus_minus,
    };
    terms.iter().fold(exactly(0.0), add)
}

pub(super) fn exactly(value: f64) -> Span {
    Span {
        value,
        plus_minus: 0.0,
    }
}

fn between(least: f64, most: f64) -> Span {
    Span {
        value: (least + most) / 2.0,
        plus_minus: (most - least) / 2.0,
    }
}
