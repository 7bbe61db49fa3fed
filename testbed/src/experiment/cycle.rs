//! Finds the beginning of a round of examinations (S) in a manager's log, so that a trouble can
//! strike at its moment within T_im (section 4.3: half-way).

use crate::report::story::Entry;
use anyhow::Context;
use ringward::manage::event::Event;
use std::time::Duration;

/// The seconds that a P1 logs while it awaits S; they start again with each round.
#[derive(Debug, Default)]
pub struct Cycle {
    previous: Option<u64>,
}

impl Cycle {
    /// The moment of S, by the log's clock, when this line is the first of a new round.
    pub fn begins(&mut self, entry: &Entry) -> Option<Duration> {
        let Event::AwaitS { seconds } = entry.event else {
            return None;
        };
        let is_new = self.previous.is_some_and(|previous| seconds < previous);
        self.previous = Some(seconds);
        is_new.then(|| entry.at.saturating_sub(Duration::from_secs(seconds)))
    }
}

/// The server whose log tells the round: P1 of the first target, or the next one before it in the
/// ring that is not a target itself.
///
/// # Errors
/// When every server is a target.
pub fn watch(ring: &[&str], targets: &[String]) -> anyhow::Result<String> {
    let first = targets.first().map_or("", String::as_str);
    let at = ring.iter().position(|name| *name == first).unwrap_or(0);
    (1..ring.len())
        .map(|back| ring[(at + ring.len() - back) % ring.len()])
        .find(|name| !targets.iter().any(|target| target == name))
        .map(str::to_owned)
        .context("every server is a target; none is left to manage them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::story::parse;
    use crate::report::story::tests::REFERENCE;

    #[test]
    fn a_round_begins_where_the_seconds_start_again() {
        let log = "12:00:08.02 9\n12:00:09.02 10\n12:00:09.50 Wait\n12:00:10.02 1\n12:00:11.02 2\n";
        let log = parse(log, REFERENCE);
        let mut cycle = Cycle::default();
        let begun: Vec<_> = log.iter().map(|entry| cycle.begins(entry)).collect();
        let s = log[3].at - Duration::from_secs(1);
        assert_eq!(begun, [None, None, None, Some(s), None]);
    }

    #[test]
    fn p1_is_watched_unless_it_is_a_target() {
        let ring = ["mail", "web1", "ftp", "web2"];
        let watch = |targets: &[&str]| {
            let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
            watch(&ring, &targets).ok()
        };
        assert_eq!(watch(&["ftp"]).as_deref(), Some("web1"));
        assert_eq!(watch(&["mail", "web2"]).as_deref(), Some("ftp"));
        assert_eq!(watch(&["web1", "mail"]).as_deref(), Some("web2"));
        assert_eq!(watch(&ring), None);
    }
}
