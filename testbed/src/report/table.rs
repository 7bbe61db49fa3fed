//! The table that the operator sees at the end of an experiment.

use super::analytical::Span;
use super::figures::Row;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use comfy_table::{TableComponent, presets};

/// How far our measurement may lie from our analytical value, in seconds, before the table marks
/// it; the paper's own differences reach 1.4 s (Fig. 13, T_s2t).
pub const TOLERANCE: f64 = 1.5;

/// Whether the table may use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Plain text, for files and pipes.
    Plain,
    /// With colours, for a terminal.
    Colour,
}

/// Draws the rows under `title`; `notes` follow below, one a line.
#[must_use]
pub fn draw(title: &str, rows: &[Row], notes: &[String], style: Style) -> String {
    let several = rows.iter().any(|row| row.target != rows[0].target);
    let mut table = bare();
    if style == Style::Colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let heads = [
        "",
        "paper\nmeasured",
        "paper\nanalytical",
        "ours\nanalytical",
        "ours\nmeasured",
        "diff.",
    ];
    table.set_header(heads.map(|head| Cell::new(head).add_attribute(Attribute::Bold)));
    for row in rows {
        let label = if several {
            format!("{}: {}", row.target, row.label)
        } else {
            row.label.clone()
        };
        table.add_row([
            Cell::new(label),
            Cell::new(row.paper_measured.map_or_else(dash, seconds)),
            Cell::new(row.paper_analytical.map_or_else(dash, span)),
            Cell::new(row.our_analytical.map_or_else(dash, span)),
            Cell::new(measured(row)).add_attribute(Attribute::Bold),
            coloured(difference(row)),
        ]);
    }
    let mut text = format!("{title}, times in seconds\n");
    text.push_str(&lines(table));
    for note in notes {
        text.push_str(note);
        text.push('\n');
    }
    text
}

/// A plain table: labels to the left, figures to the right.
#[must_use]
pub fn plain(heads: &[String], rows: &[Vec<String>]) -> String {
    let mut table = bare();
    table.force_no_tty();
    table.set_header(heads);
    for row in rows {
        table.add_row(row);
    }
    lines(table)
}

/// A table without a frame.
fn bare() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Its lines, with all columns but the first to the right.
fn lines(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Where there is no figure.
pub(super) fn dash() -> String {
    "-".to_owned()
}

/// Seconds as tables have them.
pub(crate) fn seconds(value: f64) -> String {
    format!("{value:.2}")
}

/// The same, with what they may be off.
pub(crate) fn span(span: Span) -> String {
    if span.plus_minus > 0.0 {
        format!("{:.2} ± {:.2}", span.value, span.plus_minus)
    } else {
        seconds(span.value)
    }
}

/// The median, with the spread of several runs.
pub(super) fn measured(row: &Row) -> String {
    match (row.median(), row.spread()) {
        (Some(median), Some((low, high))) => format!("{median:.2} ({low:.2}-{high:.2})"),
        (Some(median), None) => seconds(median),
        (None, _) => dash(),
    }
}

/// How far the measurement lies from the equation, and whether that is within what it allows.
pub(super) fn difference(row: &Row) -> Option<(String, bool)> {
    let (difference, span) = (row.difference()?, row.our_analytical?);
    let good = difference.abs() <= span.plus_minus + TOLERANCE;
    let mark = if good { "" } else { " !" };
    Some((format!("{difference:+.2}{mark}"), good))
}

/// Green where it is, else red.
fn coloured(difference: Option<(String, bool)>) -> Cell {
    match difference {
        None => Cell::new("-"),
        Some((text, true)) => Cell::new(text).fg(Color::Green),
        Some((text, false)) => Cell::new(text).fg(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::catalogue;
    use crate::report::analytical::Settings;
    use crate::report::calibration::tests::calibration;
    use crate::report::figures::{Measured, rows};
    use crate::report::paper::Paper;
    use ringward::cluster::Activation;

    const SETTINGS: Settings = Settings {
        t_im: 10.0,
        t_nd: 2.0,
        t_sw: 3.0,
        t_rc: 37.65,
    };

    fn table(name: &str, runs: &[Vec<Measured>]) -> String {
        let experiment = catalogue::find(name, &catalogue::tests::SERVERS).unwrap();
        let experiment = &experiment[0];
        let paper = Paper::load().unwrap();
        let way = Activation::Standby;
        let rows = rows(experiment, &paper, SETTINGS, &calibration(), way, runs);
        draw(
            &experiment.title,
            &rows,
            &["T_se 0.12".to_owned()],
            Style::Plain,
        )
    }

    #[test]
    fn one_run_of_nt2() {
        let measured = Measured {
            function: Some(3.11),
            target: Some(63.9),
            disconnection: Some(9.72),
            disconnection_1s: Some(10.05),
            activation: Some(0.91),
            runs: Some(0.21),
            start: Some(24.3),
        };
        insta::assert_snapshot!(table("nt2", &[vec![measured]]));
    }

    #[test]
    fn three_runs_of_st1_one_without_a_figure() {
        let run = |target, disconnection| {
            vec![Measured {
                target,
                disconnection,
                disconnection_1s: disconnection,
                ..Measured::default()
            }]
        };
        let runs = [
            run(Some(0.4), Some(5.2)),
            run(Some(2.9), Some(5.6)),
            run(Some(1.9), None),
        ];
        insta::assert_snapshot!(table("st1", &runs));
    }

    #[test]
    fn without_a_run_the_papers_columns_stand() {
        insta::assert_snapshot!(table("nt2", &[]));
    }

    #[test]
    fn a_client_that_looks_as_seldom_as_the_papers_has_one_row() {
        let table = table("nt1-st2", &[]);
        let rows = |target: &str| {
            table
                .lines()
                .filter(|row| row.contains(&format!("{target}: access")))
                .count()
        };
        assert_eq!((rows("web1"), rows("ftp")), (1, 1), "{table}");
    }
}
