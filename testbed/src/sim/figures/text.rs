//! The figures as people read them.

use super::terms::{Column, Term, equation, own, sum};
use super::{Figures, Neighbour, Server, beyond};
use crate::report::analytical::Span;
use crate::report::steps::Steps;
use crate::report::table::{plain, seconds, span};

impl Figures {
    /// All tables.
    pub(in crate::sim) fn text(&self) -> String {
        let mut text = format!(
            "Fig. 13: trouble on FTP in the middle between two examinations, times in seconds\n{}",
            self.table13()
        );
        text.push_str(&self.terms());
        text.push_str(&format!(
            "\nFig. 14: trouble on FTP and Web 1 at the same moment\n{}{STEPS_SAY}\n",
            self.table14()
        ));
        text.push_str(&format!(
            "Fig. 15: Mail, FTP and Web 1, neighbours, shut down at the same moment\n{}\n{}",
            self.table15(),
            self.saved()
        ));
        text
    }

    fn table13(&self) -> String {
        let heads = [
            "",
            "paper\nmeasured",
            "equation",
            "own\nterms",
            "equation\n+ own",
            "simulator",
            "differs",
            "at other\nmoments",
        ];
        let rows = self.fig13.iter().map(|row| {
            let (least, most) = row.range;
            let range = if most - least > 0.01 {
                format!("{least:.2} to {most:.2}")
            } else {
                String::new()
            };
            vec![
                format!("{} ({})", row.symbol, row.number),
                seconds(row.paper),
                span(row.equation),
                span(sum(&row.own)),
                seconds(row.expected()),
                seconds(row.seen),
                mark(row.seen - row.expected(), sum(&row.own).plus_minus),
                range,
            ]
        });
        plain(&heads.map(str::to_owned), &rows.collect::<Vec<_>>())
    }

    /// Every own term once, with the times that it is part of.
    fn terms(&self) -> String {
        let mut known: Vec<(Term, Vec<&str>)> = Vec::new();
        for row in &self.fig13 {
            for term in &row.own {
                match known.iter_mut().find(|(of, _)| of == term) {
                    Some((_, rows)) => rows.push(&row.symbol),
                    None => known.push((*term, vec![&row.symbol])),
                }
            }
        }
        let lines = known.iter().map(|(term, rows)| {
            let (what, rows) = (term.what, rows.join(" "));
            format!("own term {}: {what} ({rows})\n", span(term.seconds))
        });
        lines.collect()
    }

    fn table14(&self) -> String {
        let heads = [
            "FTP, Web 1: of",
            "paper\nmeasured",
            "with Table\n3's T_v",
            "equation\n+ own",
            "simulator",
            "differs",
        ];
        let heads = heads.into_iter().chain(Steps::NAMES).chain(DISCONNECTION);
        let mut rows = Vec::new();
        for pair in &self.fig14 {
            let [ftp, web1] = pair;
            let troubles = format!("{}, {}", ftp.trouble, web1.trouble);
            for server in pair {
                let mut row = vec![format!("{troubles}: {}", server.name)];
                row.extend(server.function(self.ping));
                row.extend(server.seen.recovery.steps.cells());
                row.extend(server.disconnection(self.ping));
                rows.push(row);
            }
        }
        plain(&heads.map(str::to_owned).collect::<Vec<_>>(), &rows)
    }

    fn table15(&self) -> String {
        let heads = [
            "",
            "paper\nmeasured",
            "with Table\n3's T_v",
            "equation\n+ own",
            "simulator",
            "differs",
        ];
        let heads = heads.into_iter().chain(Steps::NAMES);
        let rows = self.fig15.iter().map(|neighbour| {
            let server = &neighbour.server;
            let mut row = vec![server.name.to_owned()];
            row.extend(server.function(self.ping));
            row.extend(server.seen.recovery.steps.cells());
            row
        });
        let heads: Vec<String> = heads.map(str::to_owned).collect();
        plain(&heads, &rows.collect::<Vec<_>>())
    }

    /// What it saves to look at the servers behind at once.
    fn saved(&self) -> String {
        let heads = [
            "access\ndisconnection",
            "paper\nmeasured",
            "with Table\n3's T_v",
            "equation, one\nby one",
            "simulator,\none by one",
            "simulator,\nat once",
            "saved, of\nequation",
            "of\nsimulator",
        ];
        let rows = self.fig15.iter().map(|neighbour| {
            let Neighbour {
                server,
                paper,
                equation,
                one_by_one,
            } = neighbour;
            let t_v = server.parameters.characteristics.t_v;
            let now = server.seen.disconnection();
            vec![
                server.name.to_owned(),
                seconds(*paper),
                seconds(paper - server.paper.1 + t_v),
                seconds(*equation),
                seconds(one_by_one.disconnection()),
                seconds(now),
                seconds(equation - now),
                seconds(one_by_one.disconnection() - now),
            ]
        });
        plain(&heads.map(str::to_owned), &rows.collect::<Vec<_>>())
    }
}

/// What a step says that is longer than the equation has it.
const STEPS_SAY: &str = "\
! no term explains it; the step that takes longer says why:
taken up: its P1 is in trouble itself; another server extends to it when it has claimed that P1
examined: less where its P1, in trouble itself, was claimed after the first ping; who takes over waits for no second
";

const DISCONNECTION: [&str; 3] = ["discon-\nnection + own", "simulator", "differs"];

impl Server {
    fn expected(&self, column: Column, ping: f64) -> Span {
        let equation = equation(self.trouble, column, &self.parameters);
        let own = sum(&own(self.trouble, column, &self.parameters, ping));
        Span {
            value: equation.map_or(0.0, |span| span.value) + own.value,
            plus_minus: own.plus_minus,
        }
    }

    fn function(&self, ping: f64) -> Vec<String> {
        let (function, activation) = self.paper;
        let expected = self.expected(Column::Function, ping);
        let seen = self.seen.function();
        vec![
            format!("{function:.2} ({activation:.2})"),
            seconds(function - activation + self.parameters.characteristics.t_v),
            seconds(expected.value),
            seconds(seen),
            mark(seen - expected.value, expected.plus_minus),
        ]
    }

    fn disconnection(&self, ping: f64) -> Vec<String> {
        let expected = self.expected(Column::Disconnection, ping);
        let seen = self.seen.disconnection();
        vec![
            seconds(expected.value),
            seconds(seen),
            mark(seen - expected.value, expected.plus_minus),
        ]
    }
}

/// A difference; marked when no term explains it.
fn mark(difference: f64, plus_minus: f64) -> String {
    let mark = if beyond(difference, plus_minus) == 0.0 {
        ""
    } else {
        " !"
    };
    format!("{difference:+.2}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_term_explains_is_marked() {
        assert_eq!(mark(0.04, 0.0), "+0.04");
        assert_eq!(mark(-0.25, 0.2), "-0.25");
        assert_eq!(mark(0.26, 0.2), "+0.26 !");
    }
}
