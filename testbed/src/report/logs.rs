//! The logs of one recovery side by side, as the paper's Fig. 12 has them: P1's, P2's, the client's.

use super::access::Access;
use super::clock;
use super::story::{Entry, Story};
use std::time::Duration;

/// Shown before the trouble.
const LEAD: Duration = Duration::from_secs(2);
/// Stands for lines of a kind that are left out.
const MORE: &str = "      :";

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Whose.
    pub title: String,
    /// Its lines, in the paper's form.
    pub lines: Vec<String>,
}

/// What shows a run to people, beside its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exhibit {
    /// The run as an SVG file.
    pub picture: String,
    /// The logs, of a run with one target.
    pub logs: Vec<Column>,
}

/// The logs about `target` from shortly before `struck` on: of the server that acted for it, if one
/// did, and of the other one that says most about it. Lines that only count seconds or repeat the one
/// before are left out but for the first of them.
#[must_use]
pub fn columns(
    story: &Story,
    target: &str,
    actor: Option<&str>,
    struck: Duration,
    accesses: &[Access],
) -> Vec<Column> {
    let from = struck.saturating_sub(LEAD);
    let mut managers: Vec<(bool, usize, &str, &[Entry])> = Vec::new();
    for (server, log) in &story.logs {
        let said = log.iter().filter(|entry| is_about(entry, target)).count();
        if said > 0 && server != target {
            managers.push((actor == Some(server.as_str()), said, server, log));
        }
    }
    managers.sort_by_key(|(acted, said, _, _)| std::cmp::Reverse((*acted, *said)));
    let system_log = |(acted, _, server, log): (bool, usize, &str, &[Entry])| Column {
        title: match acted {
            true => format!("System log of {server} (acting)"),
            false => format!("System log of {server}"),
        },
        lines: system(log, from),
    };
    let mut columns: Vec<Column> = managers.into_iter().take(2).map(system_log).collect();
    columns.push(Column {
        title: "Access log of the client".to_owned(),
        lines: client(accesses, from),
    });
    columns
}

fn is_about(entry: &Entry, target: &str) -> bool {
    !entry.is_routine() && entry.event.to_string().starts_with(&format!("{target}: "))
}

fn system(log: &[Entry], from: Duration) -> Vec<String> {
    let lines = log.iter().filter(|entry| entry.at >= from);
    let lines = lines.map(|entry| {
        let text = format!("{} {}", clock::display(entry.at), entry.event);
        (entry.is_routine(), text)
    });
    thinned(lines)
}

fn client(accesses: &[Access], from: Duration) -> Vec<String> {
    let mut last = None;
    let lines = accesses.iter().filter(|access| access.at >= from);
    let lines = lines.map(|access| {
        let word = if access.failure.is_some() { "XX" } else { "OK" };
        let same = last.replace(word) == Some(word);
        (same, format!("{} {word}", clock::display(access.at)))
    });
    thinned(lines)
}

/// Of several dull lines after each other the first.
fn thinned(lines: impl Iterator<Item = (bool, String)>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut dull = 0;
    for (is_dull, line) in lines {
        dull = if is_dull { dull + 1 } else { 0 };
        match dull {
            0 | 1 => shown.push(line),
            2 => shown.push(MORE.to_owned()),
            _ => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::access;
    use crate::report::story::tests::{REFERENCE, story};

    #[test]
    fn the_papers_run() {
        let log = "12:53:44.40 OK\n12:53:44.90 OK\n12:53:45.41 XX FTP connect: no answer\n\
                   12:53:45.91 XX FTP connect: no answer\n12:53:46.41 XX FTP connect: no answer\n\
                   12:53:59.56 OK\n12:54:00.06 OK\n";
        let accesses = access::parse(log, REFERENCE);
        let struck = accesses[2].at;
        let text: String = columns(&story(), "ftp", Some("web1"), struck, &accesses)
            .iter()
            .map(|column| format!("{}\n{}\n\n", column.title, column.lines.join("\n")))
            .collect();
        insta::assert_snapshot!(text);
    }
}
