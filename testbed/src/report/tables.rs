//! Tables 1 to 3 of the paper in the report: how management and backup VMs were spread, and what the
//! machines are like.

use super::paper::Paper;
use super::result::Spread;
use super::startups;
use super::table;
use crate::experiment::session::Finished;
use maud::{Markup, html};
use ringward::cluster::Topology;

/// Stages that came out alike.
struct Alike<'a> {
    names: Vec<&'a str>,
    topology: Topology,
    spread: &'a Spread,
}

impl Alike<'_> {
    /// What the paper's tables say: the most targets of one server, and the most backup VMs. In a star
    /// one of our servers is the manager, where the paper has one more.
    fn papers(&self) -> (usize, usize) {
        let Spread {
            servers,
            group,
            moved,
            ..
        } = *self.spread;
        match self.topology {
            Topology::Ring if moved == 0 => (startups::ring_targets(group), 0),
            Topology::Ring => (
                startups::ring_targets(group),
                startups::ring_startups(servers, moved),
            ),
            Topology::Star => (
                startups::star_targets(group.saturating_sub(1)),
                startups::star_startups(moved),
            ),
        }
    }

    fn experiments(&self) -> String {
        match &self.names[..] {
            [one] => (*one).to_owned(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            [] => String::new(),
        }
    }
}

/// How management and backup VMs were spread, beside the paper's Tables 1 and 2.
pub(super) fn spread(done: &[Finished]) -> Markup {
    let mut rows: Vec<Alike<'_>> = Vec::new();
    for Finished { result, .. } in done {
        let about = &result.experiment;
        let topology = about.conditions.topology.unwrap_or_default();
        for spread in result.runs.iter().flat_map(|run| &run.spreads) {
            let figures = |s: &Spread| (s.servers, s.group, s.moved, s.most_targets, s.most_vms());
            let alike = |row: &&mut Alike<'_>| {
                row.topology == topology && figures(row.spread) == figures(spread)
            };
            match rows.iter_mut().find(alike) {
                Some(row) if row.names.contains(&about.name.as_str()) => {}
                Some(row) => row.names.push(&about.name),
                None => rows.push(Alike {
                    names: vec![&about.name],
                    topology,
                    spread,
                }),
            }
        }
    }
    rows.sort_by_key(|row| (row.topology == Topology::Star, row.spread.moved));
    let hosts = |spread: &Spread| -> String {
        let on = spread
            .vms
            .iter()
            .map(|(server, vms)| format!("{} on {server}", vms.join(", ")));
        on.collect::<Vec<_>>().join("; ")
    };
    html! {
        @if !rows.is_empty() {
            h2 { "Tables 1 and 2: how management and backup VMs are spread" }
            p.faint {
                "Read off the operation file and off the VMs that ran, before any trouble and whenever all functions \
                 were served again. In a star one of the servers manages all others; the paper has one more for it."
            }
            table {
                tr {
                    th { "experiment" }
                    th { "managed" br; "as a" }
                    th { "functions" br; "moved, k" }
                    th { "left in" br; "the group" }
                    th { "most targets" br; "of one" }
                    th { "paper," br; "Table 1" }
                    th { "most VMs" br; "on one" }
                    th { "paper," br; "Table 2" }
                    th { "backup VMs" br; "(of the first)" }
                }
                @for row in rows {
                    @let (targets, vms) = row.papers();
                    tr {
                        td { (row.experiments()) }
                        td { (row.topology) }
                        td { (row.spread.moved) }
                        td { (row.spread.group) }
                        td.ours { (row.spread.most_targets) }
                        td { (targets) }
                        td.ours { (row.spread.most_vms()) }
                        td { (vms) }
                        td.words { (hosts(row.spread)) }
                    }
                }
            }
        }
    }
}

/// What the analytical columns stand on: the paper's Table 3 and ours.
pub(super) fn machines(done: &[Finished], paper: &Paper) -> Markup {
    let Some(calibration) = done.last().map(|finished| &finished.result.calibration) else {
        return html! {};
    };
    let cell = |value: Option<f64>| value.map_or_else(table::dash, table::seconds);
    let t = &paper.table3;
    html! {
        h2 { "Table 3: what the machines are like" }
        table {
            tr {
                th { "" }
                th { "start" br; "T" sub { "ts" } }
                th { "restart" br; "T" sub { "tr" } }
                th { "service exam." br; "T" sub { "se" } }
                th { "activation T" sub { "v" } br; "loaded and paused" }
                th { "activation T" sub { "v" } br; "from the share" }
                th { "VM start, not" br; "suspended" }
            }
            tr {
                td { "the paper's" }
                td { (table::seconds(t.t_ts)) }
                td { (table::seconds(t.t_tr)) }
                td { "see below" }
                td { "-" }
                td { (table::seconds(t.t_v)) }
                td { (table::seconds(t.vm_cold_start)) }
            }
            @for (server, times) in &calibration.servers {
                tr {
                    td { "our " (server) }
                    td { (cell(times.start)) }
                    td { (cell(times.restart)) }
                    td { (cell(times.service_exam)) }
                    td { (cell(times.activation_standby)) }
                    td { (cell(times.activation_restore)) }
                    td { (cell(times.vm_cold_start)) }
                }
            }
        }
        p.faint {
            "Network examination of a connected server: " (cell(calibration.network_exam)) " (the paper: "
            (table::seconds(t.network_exam_ok)) "). The paper's service examinations: "
            (t.service_exam.iter().map(|(name, value)| format!("{name} {value:.2}")).collect::<Vec<_>>().join(", "))
            "."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::result::tests::result;

    fn finished(name: &str, topology: Topology, spreads: &[Spread]) -> Finished {
        let mut result = result();
        result.experiment.name = name.to_owned();
        result.experiment.conditions.topology = Some(topology);
        result.runs.truncate(1);
        result.runs[0].spreads = spreads.to_vec();
        Finished {
            result,
            exhibits: vec![None],
        }
    }

    /// Of six servers, with backup VMs where `vms` says.
    fn stage(most_targets: usize, vms: &[(&str, &[&str])]) -> Spread {
        let moved = vms.iter().map(|(_, vms)| vms.len()).sum();
        let vms = vms.iter().map(|(on, vms)| {
            let vms = vms.iter().map(|vm| (*vm).to_owned());
            ((*on).to_owned(), vms.collect())
        });
        Spread {
            servers: 6,
            group: 6 - moved,
            most_targets,
            moved,
            vms: vms.collect(),
        }
    }

    /// The rows as text, a cell after the other.
    fn rows(markup: &Markup) -> Vec<String> {
        let rows = markup.0.split("<tr>").skip(2).map(|row| {
            let (row, _) = row.split_once("</tr>").unwrap();
            let cells = row.split("</td>").map(|cell| match cell.split_once('>') {
                Some((_, text)) => text.to_owned(),
                None => String::new(),
            });
            cells
                .collect::<Vec<_>>()
                .join(" | ")
                .trim_end_matches(" | ")
                .to_owned()
        });
        rows.collect()
    }

    #[test]
    fn stages_that_came_out_alike_are_one_row_beside_the_paper() {
        let (whole, one) = (stage(2, &[]), stage(2, &[("login", &["ftpb"])]));
        let four: [(&str, &[&str]); 2] = [
            ("login", &["ftpb", "web1b"]),
            ("proxy", &["mailb", "web2b"]),
        ];
        let five = ["ftpb", "loginb", "proxyb", "web1b", "web2b"];
        let done = [
            finished("fig13/nt2", Topology::Ring, &[whole.clone(), one.clone()]),
            finished(
                "table2/ring",
                Topology::Ring,
                &[whole, one, stage(1, &four)],
            ),
            finished(
                "table2/star",
                Topology::Star,
                &[stage(0, &[("mail", &five)])],
            ),
        ];
        insta::assert_snapshot!(rows(&spread(&done)).join("\n"));
    }
}
