//! The system logs of a run, read back into events, and the times that they show.
//!
//! Each log has its server's own clock until somebody puts it on another ([`super::steps`] says what
//! that is good for).

use super::clock;
use super::steps::Line;
use ringward::manage::event::Event;
use std::collections::BTreeMap;
use std::time::Duration;

/// One line of a system log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Moment, since 1970, by the server's own clock.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// True for lines that come every second and tell nothing new.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        matches!(
            self.event,
            Event::AwaitS { .. } | Event::Wait {} | Event::P2Wait {}
        )
    }
}

/// The system logs, by the server that wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// The entries of every server, in the order of its log.
    pub logs: BTreeMap<String, Vec<Entry>>,
}

/// Reads the lines that are events; others (a cut last line, words of later versions) are passed
/// over. `reference` is any moment of the run.
#[must_use]
pub fn parse(text: &str, reference: Duration) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            let at = clock::nearest(clock::time_of_day(time)?, reference);
            Some(Entry {
                at,
                event: rest.parse().ok()?,
            })
        })
        .collect()
}

/// Where a target's recovery stands, or a step of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// A manager's examination failed.
    Detected,
    /// The VIP is set on the backup VM.
    FunctionRecovered,
    /// The target serves again.
    TargetRecovered,
}

impl Milestone {
    /// The milestone that `event` is for `target`, if it is one.
    #[must_use]
    pub fn of(event: &Event, target: &str) -> Option<Self> {
        let (milestone, of) = match event {
            Event::NetworkTrouble { target } | Event::ServiceTrouble { target, .. } => {
                (Self::Detected, target)
            }
            Event::FunctionRecovered { target, .. } => (Self::FunctionRecovered, target),
            Event::TargetRecovered { target, .. }
            | Event::ServiceRecovered { target }
            | Event::NetworkRecovered { target } => (Self::TargetRecovered, target),
            _ => return None,
        };
        (of.as_str() == target).then_some(milestone)
    }
}

impl Story {
    /// True when any server logged `milestone` for `target`.
    #[must_use]
    pub fn reached(&self, target: &str, milestone: Milestone) -> bool {
        let is = |entry: &Entry| Milestone::of(&entry.event, target) == Some(milestone);
        self.logs.values().flatten().any(is)
    }

    /// The server on which the backup VM of `target` was when its function was recovered last.
    #[must_use]
    pub fn host(&self, target: &str) -> Option<&str> {
        let recovered = self
            .logs
            .values()
            .flatten()
            .filter_map(|entry| match &entry.event {
                Event::FunctionRecovered {
                    target: of, host, ..
                } if of.as_str() == target => Some((entry.at, host.as_str())),
                _ => None,
            });
        recovered.max_by_key(|(at, _)| *at).map(|(_, host)| host)
    }

    /// All lines in the order of time, with the servers that wrote them. By one clock only once the
    /// moments were put on it.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (server, log) in &self.logs {
            lines.extend(
                log.iter()
                    .map(|entry| (entry.at, server.as_str(), &entry.event)),
            );
        }
        lines.sort_by_key(|(at, _, _)| *at);
        lines
    }

    /// The latest line of all logs that is not routine, with its server.
    #[must_use]
    pub fn last_words(&self) -> String {
        let of_log = |(server, log): (&String, &Vec<Entry>)| {
            let entry = log.iter().rev().find(|entry| !entry.is_routine())?;
            Some((entry.at, format!("{server}: {}", entry.event)))
        };
        let last = self.logs.iter().filter_map(of_log);
        last.max_by_key(|(at, _)| *at)
            .map_or_else(|| "none".to_owned(), |(_, words)| words)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const REFERENCE: Duration = Duration::from_secs(20_000 * 86_400 + 46_000);

    /// The paper's Fig. 12, in our words.
    pub(crate) const P1: &str = "\
12:53:44.99 4
12:53:45.99 5
12:53:52.13 ftp: network trouble detected
12:53:54.18 ftp: network trouble found again
12:53:54.19 __ftp: restart state check
12:53:54.30 ftp: claimed, epoch 1
12:53:54.43 ftp: backup VM ftpb start on proxy
12:53:59.10 ftp: backup VM ftpb started on proxy
12:53:59.22 ftp: function recovered, VIP 172.21.14.203 set on ftpb at proxy
12:54:00.00 Wait
12:55:22.19 __ftp: stopped, WOL to 00:00:00:00:00:03
12:56:18.00 __ftp: network up
12:56:19.00 __ftp: service up
12:56:19.00 __ftp: up
12:56:19.90 ftp: backup VM ftpb released on proxy
12:56:19.96 ftp: target recovered, VIP 172.21.14.203 set
12:56:19.98 ftp: U sent to web2
12:56:2";
    pub(crate) const P2: &str = "\
12:53:52.25 ftp: network trouble detected
12:53:53.25 P2_wait
a line of no event
12:56:20.07 ftp: U received from web1
";

    pub(crate) fn story() -> Story {
        let log = |name: &str, text| (name.to_owned(), parse(text, REFERENCE));
        Story {
            logs: [log("web1", P1), log("web2", P2)].into(),
        }
    }

    #[test]
    fn a_recovery_under_way_has_reached_what_it_has() {
        let half: String = P1.lines().take(9).map(|line| format!("{line}\n")).collect();
        let logs = [("web1".to_owned(), parse(&half, REFERENCE))].into();
        let story = Story { logs };
        assert!(story.reached("ftp", Milestone::FunctionRecovered));
        assert!(!story.reached("ftp", Milestone::TargetRecovered));
        assert!(!story.reached("mail", Milestone::Detected));
        assert_eq!(story.host("ftp"), Some("proxy"));
    }
}
