//! Figs. 13, 14 and 15 of the paper in the simulator, with the characteristics of its Table 3.
//!
//! Each time stands beside the paper's measurement and its equation, (10) to (18). Those leave out
//! what takes less than a second; the terms that ours have besides stand there by name, and with
//! them a time must agree to [`NEAR`]. Where it does not, the steps show where the time went.
//!
//! | part | what |
//! |---|---|
//! | `terms` | equations, and what they leave out |
//! | `text` | tables for people |

mod terms;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use ringward::cluster::{Activation, Profile, Topology};

use super::scenario::settings;
use super::watch::{Plan, Seen, watch};
use crate::experiment::spec::{Strike, TroubleKind, Until};
use crate::report::analytical::{Parameters, Span};
use crate::report::figures::symbol;
use crate::report::paper::{Fig13, Fig14, Fig15, Paper};
use terms::{Column, Term, equation, own, parameters, sum};

/// The ring of Fig. 15: Login is P1 of the first of three neighbours, Web 2 P2 of the last.
const RING: [&str; 6] = ["login", "mail", "ftp", "web1", "web2", "proxy"];

fn plan(troubles: &[(&str, TroubleKind)], phase: f64, together: bool) -> Plan {
    let strike = |(server, trouble): &(&str, TroubleKind)| Strike {
        server: (*server).to_owned(),
        trouble: *trouble,
    };
    Plan {
        ring: RING.map(str::to_owned).to_vec(),
        settings: settings(Profile::Paper, Topology::Ring, Activation::Restore),
        stress: BTreeMap::new(),
        strikes: troubles.iter().map(strike).collect(),
        then: Vec::new(),
        phase: Duration::from_secs_f64(phase),
        until: Until::Home,
        together,
    }
}

/// How far a time may lie from its equation with all terms, in seconds.
const NEAR: f64 = 0.05;
/// When trouble strikes, seconds after a round began: at once, in the middle as in the paper
/// (section 4.3), or right before the next one.
const PHASES: [f64; 3] = [0.05, 5.0, 9.95];
const MIDDLE: f64 = PHASES[1];

/// A time beside its equation.
#[derive(Debug, Clone)]
struct Row {
    /// The paper's symbol for it.
    symbol: String,
    /// The number of its equation.
    number: u32,
    /// What the paper measured.
    paper: f64,
    equation: Span,
    own: Vec<Term>,
    /// What the simulator shows.
    seen: f64,
    /// The least and the most of it over [`PHASES`].
    range: (f64, f64),
}

impl Row {
    /// The equation with what it leaves out.
    fn expected(&self) -> f64 {
        self.equation.value + sum(&self.own).value
    }
}

/// A column of Fig. 13, and how it is read.
struct Reading {
    column: Column,
    letter: char,
    paper: Option<f64>,
    of: fn(&Seen) -> f64,
}

/// How far a difference goes beyond what is allowed.
fn beyond(difference: f64, plus_minus: f64) -> f64 {
    let left = difference.abs() - plus_minus;
    if left > NEAR {
        left * difference.signum()
    } else {
        0.0
    }
}

/// One server of Figs. 14 and 15.
#[derive(Debug, Clone)]
struct Server {
    name: &'static str,
    trouble: TroubleKind,
    parameters: Parameters,
    /// The paper's recovery of the function, and of that the activation of the virtual server.
    paper: (f64, f64),
    seen: Seen,
}

/// One server of Fig. 15.
#[derive(Debug, Clone)]
struct Neighbour {
    server: Server,
    /// The paper's access disconnection.
    paper: f64,
    /// The same by equation (18), with 2 T_nd more for the server that the paper finds last.
    equation: f64,
    /// With the servers behind looked at one after the other.
    one_by_one: Seen,
}

/// All that was seen.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    ping: f64,
    fig13: Vec<Row>,
    fig14: Vec<[Server; 2]>,
    fig15: Vec<Neighbour>,
}

/// Plays all three figures.
///
/// # Errors
/// When the audit found a broken rule, or the paper's figures cannot be read.
pub(super) fn play() -> anyhow::Result<Figures> {
    let paper = Paper::load()?;
    let ping = paper.table3.network_exam_ok;
    let mut figures = Figures {
        ping,
        fig13: Vec::new(),
        fig14: Vec::new(),
        fig15: fig15(&paper)?,
    };
    for of in &paper.fig13 {
        figures.fig13.extend(fig13(&paper, of)?);
    }
    for of in &paper.fig14 {
        figures.fig14.push(fig14(&paper, of)?);
    }
    Ok(figures)
}

/// FTP alone.
fn fig13(paper: &Paper, of: &Fig13) -> anyhow::Result<Vec<Row>> {
    let trouble = of.trouble;
    let p = parameters(paper, "ftp")?;
    let mut seen = Vec::new();
    for phase in PHASES {
        seen.extend(watch(&plan(&[("ftp", trouble)], phase, true))?.seen);
    }
    let columns = [
        Reading {
            column: Column::Function,
            letter: 'f',
            paper: of.function.map(|figure| figure.measured),
            of: Seen::function,
        },
        Reading {
            column: Column::Target,
            letter: 't',
            paper: Some(of.target.measured),
            of: Seen::target,
        },
        Reading {
            column: Column::Disconnection,
            letter: 'c',
            paper: Some(of.disconnection.measured),
            of: Seen::disconnection,
        },
    ];
    let row = |reading: Reading| {
        let column = reading.column;
        let all = seen.iter().map(reading.of);
        let middle = PHASES.iter().position(|phase| *phase == MIDDLE)?;
        Some(Row {
            symbol: symbol(trouble, reading.letter),
            number: number(trouble, column),
            paper: reading.paper?,
            equation: equation(trouble, column, &p)?,
            own: own(trouble, column, &p, paper.table3.network_exam_ok),
            seen: (reading.of)(seen.get(middle)?),
            range: (
                all.clone().fold(f64::MAX, f64::min),
                all.fold(f64::MIN, f64::max),
            ),
        })
    };
    Ok(columns.into_iter().filter_map(row).collect())
}

/// The number of an equation in the paper.
fn number(trouble: TroubleKind, column: Column) -> u32 {
    use TroubleKind::{Nt1, St1, St2};
    match (column, trouble) {
        (Column::Function, St1 | St2) => 10,
        (Column::Function, _) => 11,
        (Column::Target, St1) => 12,
        (Column::Target, St2) => 13,
        (Column::Target, Nt1) => 14,
        (Column::Target, _) => 15,
        (Column::Disconnection, St1) => 16,
        (Column::Disconnection, St2) => 17,
        (Column::Disconnection, _) => 18,
    }
}

/// FTP and Web 1.
fn fig14(paper: &Paper, of: &Fig14) -> anyhow::Result<[Server; 2]> {
    let plan = plan(&[("ftp", of.ftp), ("web1", of.web1)], MIDDLE, true);
    let mut seen = watch(&plan)?.seen.into_iter();
    let mut server = |name, trouble, [function, activation]: [f64; 2]| {
        anyhow::Ok(Server {
            name,
            trouble,
            parameters: parameters(paper, name)?,
            paper: (function, activation),
            seen: seen
                .next()
                .with_context(|| format!("{name} was not watched"))?,
        })
    };
    Ok([
        server("ftp", of.ftp, of.ftp_function)?,
        server("web1", of.web1, of.web1_function)?,
    ])
}

/// Mail, FTP and Web 1.
fn fig15(paper: &Paper) -> anyhow::Result<Vec<Neighbour>> {
    let names = ["mail", "ftp", "web1"];
    let troubles = names.map(|name| (name, TroubleKind::Nt2));
    let look = |together| anyhow::Ok(watch(&plan(&troubles, MIDDLE, together))?.seen);
    let (together, one_by_one) = (look(true)?, look(false)?);
    let mut neighbours = Vec::new();
    for ((name, seen), one_by_one) in names.into_iter().zip(together).zip(one_by_one) {
        let of = paper.fig15.iter().find(|of: &&Fig15| of.server == name);
        let Some(of) = of else {
            anyhow::bail!("Fig. 15 has no {name}");
        };
        let parameters = parameters(paper, name)?;
        let alone = equation(TroubleKind::Nt2, Column::Disconnection, &parameters);
        let later = if name == "ftp" {
            2.0 * parameters.settings.t_nd
        } else {
            0.0
        };
        neighbours.push(Neighbour {
            server: Server {
                name,
                trouble: TroubleKind::Nt2,
                parameters,
                paper: (of.function, of.activation),
                seen,
            },
            paper: of.disconnection,
            equation: alone.map_or(0.0, |span| span.value) + later,
            one_by_one,
        });
    }
    Ok(neighbours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_paper() {
        let figures = play().unwrap();
        insta::assert_snapshot!(figures.text());
        for row in &figures.fig13 {
            let unexplained = beyond(row.seen - row.expected(), sum(&row.own).plus_minus);
            assert_eq!(unexplained, 0.0, "{row:?}");
        }
        for row in &figures.fig13 {
            let middle = (row.range.0 + row.range.1) / 2.0;
            let wide = row.equation.plus_minus;
            if wide > 0.0 {
                assert!(
                    (row.range.1 - row.range.0 - 2.0 * wide).abs() < 0.15,
                    "{row:?}"
                );
                assert!((row.seen - middle).abs() < NEAR, "{row:?}");
            }
        }
    }
}
