//! `report.html`: everything that was run, on one page that loads nothing from elsewhere.
//!
//! An experiment of the paper is a section: its table, with the paper's columns and ours, and under
//! it every run as a picture. What failed and what was not run stands there too.

use super::figures::Row;
use super::paper::Paper;
use super::result::{ExperimentResult, RunResult};
use super::steps::Steps;
use super::table;
use super::tables;
use crate::experiment::conditions;
use crate::experiment::session::Finished;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("html.css");

/// Draws the page. `left`: what was asked for and not run.
#[must_use]
pub fn page(done: &[Finished], left: &[String], paper: &Paper) -> String {
    let good = done.iter().filter(|finished| finished.result.good).count();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Ringward: the paper's experiments" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Ringward: the paper's experiments" }
                p { (verdict(good == done.len() && left.is_empty(), &format!("{good} of {} good", done.len() + left.len()))) }
                @if let Some(first) = done.first() { (circumstances(&first.result, paper)) }
                @if !left.is_empty() {
                    p.bad { "Not run: " (left.join(", ")) "." }
                }
                (overview(done))
                @for suite in suites(done) { (section(&suite)) }
                (tables::spread(done))
                (tables::machines(done, paper))
            }
        }
    };
    page.into_string()
}

/// The experiments of one file.
fn suites(done: &[Finished]) -> Vec<Vec<&Finished>> {
    let mut suites: Vec<Vec<&Finished>> = Vec::new();
    for finished in done {
        let title = |f: &&Finished| f.result.experiment.suite_title.clone();
        match suites
            .iter_mut()
            .find(|suite| title(&suite[0]) == title(&finished))
        {
            Some(suite) => suite.push(finished),
            None => suites.push(vec![finished]),
        }
    }
    suites
}

fn verdict(good: bool, text: &str) -> Markup {
    html! { span class=(if good { "good" } else { "bad" }) { (text) } }
}

/// Where, on what and how it was run.
fn circumstances(result: &ExperimentResult, paper: &Paper) -> Markup {
    let facts = &result.circumstances;
    html! {
        dl {
            dt { "made" } dd { (result.made) }
            @if !facts.host.is_empty() { dt { "host" } dd { (facts.host) } }
            dt { "machines run under" } dd { (facts.accelerator) }
            @for (name, value) in &facts.versions { dt { (name) } dd { (value) } }
            @if let Some(s) = result.settings {
                dt { "settings" }
                dd {
                    "profile " (result.experiment.profile) ": T" sub { "im" } " " (s.t_im) " s, T" sub { "nd" } " " (s.t_nd)
                    " s, T" sub { "sw" } " " (s.t_sw) " s, T" sub { "rc" } " " (s.t_rc) " s"
                    @if let Some(words) = result.calibration.stretched(paper) { ". " (words) }
                }
            }
            @if let Some(way) = result.activation {
                dt { "backup VMs" } dd { "activated by " (format!("{way:?}").to_lowercase()) }
            }
        }
        p.faint {
            "Times in seconds. “Analytical” is the paper's equation, with its own Table 3 or with what was measured \
             of our machines beforehand. Of several runs the median is shown, with the least and the most."
        }
    }
}

/// One line an experiment.
fn overview(done: &[Finished]) -> Markup {
    html! {
        table {
            tr { th { "experiment" } th { "runs" } th { "took" } th { "" } }
            @for finished in done {
                @let result = &finished.result;
                @let took: f64 = result.runs.iter().map(|run| run.took_s).sum();
                tr {
                    td.words { a href={ "#" (anchor(result)) } { (result.experiment.name) } " " (result.experiment.title) }
                    td { (result.runs.len()) }
                    td { (format!("{took:.0}")) }
                    td { (verdict(result.good, if result.good { "good" } else { "not good" })) }
                }
            }
        }
    }
}

fn anchor(result: &ExperimentResult) -> String {
    result.experiment.name.replace('/', "-")
}

fn section(suite: &[&Finished]) -> Markup {
    html! {
        h2 { (suite[0].result.experiment.suite_title) }
        table {
            tr {
                th { "" }
                th { "paper" br; "measured" }
                th { "paper" br; "analytical" }
                th { "ours" br; "analytical" }
                th { "ours" br; "measured" }
                th { "difference" }
            }
            @for finished in suite {
                @let result = &finished.result;
                tr.case { td colspan="6" { (result.experiment.title) } }
                @let about = &result.experiment;
                @let several = about.strikes.len() > 1 || !about.then.is_empty() || about.survey.is_some();
                @if let Some(stress) = conditions::stress(&about.conditions) {
                    tr { td.words.faint colspan="6" { (stress) } }
                }
                @for row in &result.rows { (line(row, several)) }
            }
        }
        (why(suite))
        (went(suite))
        @for finished in suite { (runs(finished)) }
    }
}

/// Why times differ from their equations.
fn why(suite: &[&Finished]) -> Markup {
    let results = suite.iter().map(|finished| &finished.result);
    let of_run = |result: &ExperimentResult, run: &RunResult| -> Vec<String> {
        let name = run_name(result, run);
        let all = run.explanations.iter();
        all.map(|text| format!("{name}: {text}")).collect()
    };
    let all =
        results.flat_map(|result| result.runs.iter().flat_map(move |run| of_run(result, run)));
    let all: Vec<String> = all.collect();
    html! {
        @if !all.is_empty() {
            h3 { "Where ours lies farther from the equation than it allows, by the logs" }
            ul { @for text in &all { li { (text) } } }
        }
    }
}

/// What a run is called where there are others.
fn run_name(result: &ExperimentResult, run: &RunResult) -> String {
    match result.runs.len() {
        1 => result.experiment.name.clone(),
        _ => format!("{}, run {}", result.experiment.name, run.number),
    }
}

/// Where the time went, of every run that needed a backup VM.
fn went(suite: &[&Finished]) -> Markup {
    let of_run =
        |result: &'_ ExperimentResult, run: &'_ RunResult| -> Vec<(String, String, Steps)> {
            let with_vm = run.targets.iter().zip(&result.experiment.strikes);
            let with_vm = with_vm.filter(|(_, strike)| strike.trouble.needs_backup());
            let label = |server: &str| format!("{}: {server}", run_name(result, run));
            with_vm
                .filter_map(|(of, _)| {
                    let actor = of.actor.clone().unwrap_or_default();
                    Some((label(&of.server), actor, of.steps?))
                })
                .collect()
        };
    let results = suite.iter().map(|finished| &finished.result);
    let rows: Vec<_> = results
        .flat_map(|result| result.runs.iter().flat_map(move |run| of_run(result, run)))
        .collect();
    html! {
        @if !rows.is_empty() {
            h3 { "Where the time went until the function was served again" }
            table {
                tr {
                    th { "" }
                    th { "recovered by" }
                    @for name in Steps::NAMES { th { (name.replace('\n', " ")) } }
                }
                @for (label, actor, steps) in &rows {
                    tr {
                        td { (label) }
                        td { (actor) }
                        @for cell in steps.cells() { td { (cell) } }
                    }
                }
            }
            p.faint {
                "From the trouble until a manager found it; until the server did that recovers it (P1, P2 that takes P1's part, or one that extends " "to it); until a backup VM was ordered; until it was ordered on the host that started it; until it ran; until it had the VIP. The equations begin where the second of these ends."
            }
        }
    }
}

fn line(row: &Row, several: bool) -> Markup {
    let span = |span| table::span(span);
    html! {
        tr {
            td { @if several { (row.target) ": " } (row.label) }
            td { (row.paper_measured.map_or_else(table::dash, table::seconds)) }
            td { (row.paper_analytical.map_or_else(table::dash, span)) }
            td { (row.our_analytical.map_or_else(table::dash, span)) }
            td.ours { (table::measured(row)) }
            td {
                @if let Some((text, good)) = table::difference(row) {
                    (verdict(good, &text))
                } @else { "-" }
            }
        }
    }
}

/// Pictures, failures and findings.
fn runs(finished: &Finished) -> Markup {
    let result = &finished.result;
    html! {
        div id=(anchor(result)) {
            h3 { (result.experiment.name) ": " (result.experiment.title) }
            @for (run, exhibit) in result.runs.iter().zip(&finished.exhibits) {
                (what_failed(run))
                @if let Some(exhibit) = exhibit {
                    @let open = finished.exhibits.len() == 1;
                    details open[open] {
                        summary { "Run " (run.number) ", " (format!("{:.0} s", run.took_s)) }
                        (PreEscaped(&exhibit.picture))
                    }
                    (placed(run))
                    @if !exhibit.logs.is_empty() {
                        details {
                            summary { "Run " (run.number) ": the logs side by side, as in Fig. 12" }
                            div.logs {
                                @for column in &exhibit.logs {
                                    div { h4 { (column.title) } pre { (column.lines.join("\n")) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What placement went by.
fn placed(run: &RunResult) -> Markup {
    let load = |value: f64| format!("{value:.0}");
    html! {
        @if run.placements.iter().any(|of| !of.servers.is_empty()) {
            details {
                summary { "Run " (run.number) ": the condition file before the trouble, and the non-select values" }
                @for of in &run.placements {
                    table {
                        tr {
                            th { "for " (of.function) }
                            th { "VM" }
                            th { "N" sub { "m" } }
                            th { "N" sub { "c" } }
                            th { "N" sub { "n" } }
                            th { "value" }
                            th { "" }
                        }
                        @for (line, value) in &of.servers {
                            tr {
                                td { (line.name) }
                                td { (line.vm) }
                                td { (load(line.nm)) }
                                td { (load(line.nc)) }
                                td { (load(line.nn)) }
                                td.ours { (load(*value)) }
                                td { @if of.host.as_deref() == Some(line.name.as_str()) { "hosts it" } }
                            }
                        }
                    }
                }
                p.faint {
                    "The lowest value is chosen (Fig. 5), unless the function's state is loaded elsewhere already, on a \
                     server that runs no more backup VMs."
                }
            }
        }
    }
}

fn what_failed(run: &RunResult) -> Markup {
    html! {
        @if !run.is_good() || run.slowed.is_some() {
            ul {
                @if let Some(slowed) = run.slowed { li { "Run " (run.number) ": " (slowed) "." } }
                @for text in &run.failures { li.bad { "Run " (run.number) " failed: " (text) } }
                @for finding in &run.findings { li.bad { "Run " (run.number) ", audit: " (finding) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::logs::{self, Exhibit};
    use crate::report::result::tests::result;
    use crate::report::timeline;

    /// A page with an experiment of two runs, of which the second failed before the trouble.
    fn sample() -> String {
        let picture = timeline::tests::with_scene(timeline::svg);
        let logs = timeline::tests::with_scene(|scene| {
            let accesses = &scene.accesses[0].1;
            logs::columns(scene.story, "ftp", Some("web1"), scene.struck, accesses)
        });
        let done = [Finished {
            result: result(),
            exhibits: vec![Some(Exhibit { picture, logs }), None],
        }];
        page(
            &done,
            &["fig15/mail-web1-ftp".to_owned()],
            &Paper::load().unwrap(),
        )
    }

    #[test]
    fn the_page_has_all_and_loads_nothing() {
        let page = sample();
        if let Some(path) = std::env::var_os("RINGWARD_REPORT_SAMPLE") {
            std::fs::write(path, &page).unwrap();
        }
        for part in [
            "0 of 2 good",
            "Not run: fig15/mail-web1-ftp.",
            "7.46",
            "Run 2 failed: function recovered: not within 60 s",
            "Run 2, audit: one VM for a function: a &amp; b &lt;c&gt;",
            "function recovered 14.2 s",
            "System log of web1 (acting)",
        ] {
            assert!(page.contains(part), "{part}");
        }
        let links =
            page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(
            links + page.matches("url(h").count() + page.matches("src=").count(),
            0
        );
        let anchors = page.matches("href=\"#").count();
        assert_eq!(page.matches("href=").count(), anchors);
    }
}
