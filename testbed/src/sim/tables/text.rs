//! The tables as people read them.

use std::collections::BTreeSet;

use super::rest::{Rate, Rest, Sum, WINDOW};
use super::startups::Startups;
use super::{Failures, Tables};
use crate::report::startups::{
    ideal_startups, ring_startups, ring_targets, star_startups, star_targets,
};
use crate::report::table::plain;
use crate::sim::count::{Kind, Sort};

/// Sizes at which each kind is told; all sizes would be too wide.
const TOLD: [usize; 5] = [2, 6, 10, 100, 1000];

impl Tables {
    /// All tables.
    pub(in crate::sim) fn text(&self) -> String {
        let seconds = WINDOW.as_secs();
        let mut text = format!(
            "Table 1: target servers of a management server\n{}\n",
            self.table1()
        );
        text.push_str(&format!(
            "Table 2: the most backup VMs on one management server when k of n targets fail at the \
             same moment\n{}\n",
            self.table2()
        ));
        text.push_str(&format!(
            "At rest, per server and second (mean of all / most of one), over {seconds} s\n{}\n",
            self.growth()
        ));
        for (name, rests) in [("Ring", &self.ring), ("Star", &self.star)] {
            text.push_str(&format!(
                "{name} at rest, kind by kind, per server and second (mean of all / most of one)\n{}\n",
                kinds(rests)
            ));
        }
        text
    }

    fn table1(&self) -> String {
        let heads = ["n", "P2P, paper", "ring", "MSBS, paper", "star"];
        let rows = self.ring.iter().zip(&self.star).map(|(ring, star)| {
            let n = ring.targets;
            let paper = (ring_targets(n), star_targets(n));
            let cells = [n, paper.0, ring.managed, paper.1, star.managed];
            cells.map(|cell| cell.to_string()).to_vec()
        });
        plain(&heads.map(str::to_owned), &rows.collect::<Vec<_>>())
    }

    fn table2(&self) -> String {
        let heads = [
            "n, k",
            "P2P\npaper",
            "spread\nevenly",
            "ring\nneighbours",
            "ring\napart",
            "MSBS\npaper",
            "star",
            "served again\nneighbours",
            "\napart",
            "\nstar",
        ];
        let rows = self.failures.iter().map(|((n, k), found)| {
            let Failures {
                neighbours,
                apart,
                star,
            } = found;
            let paper = ring_startups(*n, *k);
            vec![
                format!("{n}, {k}"),
                paper.to_string(),
                ideal_startups(*n, *k).to_string(),
                most(neighbours.as_ref(), paper),
                most(apart.as_ref(), paper),
                star_startups(*k).to_string(),
                most(star.as_ref(), star_startups(*k)),
                took(neighbours.as_ref()),
                took(apart.as_ref()),
                took(star.as_ref()),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        plain(&heads.map(str::to_owned), &rows)
    }

    fn growth(&self) -> String {
        let sizes = self.ring.iter().map(|rest| rest.targets.to_string());
        let heads: Vec<String> = std::iter::once(String::new())
            .chain(sizes)
            .chain(["grows".to_owned(), "most".to_owned()])
            .collect();
        let mut rows = Vec::new();
        for sum in Sum::ALL {
            for (name, rests) in [("ring", &self.ring), ("star", &self.star)] {
                let mut row = vec![format!("{name}: {}", sum.text())];
                let rates: Vec<(usize, Option<&Rate>)> = rests
                    .iter()
                    .map(|rest| (rest.targets, rest.sums.get(&sum)))
                    .collect();
                row.extend(rates.iter().map(|(_, rate)| cell(*rate)));
                row.extend(trend(&rates));
                rows.push(row);
            }
        }
        plain(&heads, &rows)
    }
}

impl Sum {
    fn text(self) -> &'static str {
        match self {
            Self::Messages => "messages sent and received",
            Self::FewMessages => "messages but Load, S",
            Self::Share => "accesses to the share",
            Self::FewShare => "accesses for grants alone",
            Self::Examinations => "examinations",
        }
    }
}

/// A row for each kind, with the sizes that are told.
fn kinds(rests: &[Rest]) -> String {
    let told: Vec<&Rest> = rests
        .iter()
        .filter(|rest| TOLD.contains(&rest.targets))
        .collect();
    let all: BTreeSet<Kind> = told
        .iter()
        .flat_map(|rest| rest.kinds.keys().copied())
        .collect();
    let sizes = told.iter().map(|rest| rest.targets.to_string());
    let heads: Vec<String> = std::iter::once(String::new())
        .chain(sizes)
        .chain(["grows".to_owned(), "most".to_owned()])
        .collect();
    let rows = all.into_iter().map(|kind| {
        let rates: Vec<(usize, Option<&Rate>)> = told
            .iter()
            .map(|rest| (rest.targets, rest.kinds.get(&kind)))
            .collect();
        let label = match kind.sort {
            Sort::Sent => format!("{} sent", kind.name),
            Sort::Received => format!("{} received", kind.name),
            Sort::Share => kind.name.to_owned(),
            Sort::Examination => format!("{} examined", kind.name),
        };
        let mut row = vec![label];
        row.extend(rates.iter().map(|(_, rate)| cell(*rate)));
        row.extend(trend(&rates));
        row
    });
    plain(&heads, &rows.collect::<Vec<_>>())
}

/// How a rate grows from the last size but one to the last, and the server that does most there.
fn trend(rates: &[(usize, Option<&Rate>)]) -> [String; 2] {
    let [.., (few, Some(before)), (many, Some(last))] = rates else {
        return [String::new(), String::new()];
    };
    let mean = grows(*few, before.mean, *many, last.mean);
    let most = grows(*few, before.most, *many, last.most);
    let even = (last.most - last.mean).abs() < last.mean / 100.0;
    let grows = if mean == most {
        mean
    } else {
        format!("{mean} / {most}")
    };
    let busiest = if even { "all" } else { &last.busiest };
    [grows, busiest.to_owned()]
}

/// In words: by which power of the number of servers.
#[allow(clippy::cast_precision_loss, reason = "at most a thousand servers")]
fn grows(few: usize, before: f64, many: usize, last: f64) -> String {
    let power = (last / before).ln() / (many as f64 / few as f64).ln();
    if !power.is_finite() {
        "-".to_owned()
    } else if power.abs() < 0.05 {
        "constant".to_owned()
    } else if (0.95..1.05).contains(&power) {
        "n".to_owned()
    } else {
        format!("n^{power:.1}")
    }
}

fn cell(rate: Option<&Rate>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) => {
            let (mean, most) = (number(rate.mean), number(rate.most));
            if mean == most {
                mean
            } else {
                format!("{mean} / {most}")
            }
        }
    }
}

fn number(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{v:.4}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// Marked where the paper has fewer.
fn most(found: Option<&Startups>, paper: usize) -> String {
    found.map_or("-".to_owned(), |found| {
        let mark = if found.most > paper { " !" } else { "" };
        format!("{}{mark}", found.most)
    })
}

fn took(found: Option<&Startups>) -> String {
    match found {
        None => "-".to_owned(),
        Some(Startups { took: None, .. }) => "never".to_owned(),
        Some(Startups {
            took: Some(took), ..
        }) => format!("{} s", took.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_in_words() {
        assert_eq!(grows(10, 2.0, 100, 2.01), "constant");
        assert_eq!(grows(10, 2.0, 1000, 201.0), "n");
        assert_eq!(grows(10, 2.0, 100, 200.0), "n^2.0");
        assert_eq!(grows(10, 0.0, 100, 200.0), "-");
    }
}
