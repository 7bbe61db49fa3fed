//! Where the time went until a function was served again, read off the logs of all servers.

use ringward::manage::event::Event;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The steps of a recovery, in seconds; each begins where the one before it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// From the trouble until one of the target's managers detected it.
    pub found: f64,
    /// Until the server did that recovers it: P1, P2 when it takes P1's part, or one that extends to
    /// it.
    pub taken_up: f64,
    /// Until a backup VM was ordered. This and the following are 0 in St1, which needs none.
    pub examined: f64,
    /// Until it was ordered on the host that started it.
    pub elsewhere: f64,
    /// Until it ran.
    pub started: f64,
    /// Until it had the VIP.
    pub set: f64,
}

impl Steps {
    /// Names of the steps, for the heads of tables; a line feed where one may break.
    pub const NAMES: [&'static str; 6] = [
        "found",
        "taken\nup",
        "examined",
        "other\nhost",
        "VM\nstarted",
        "VIP set",
    ];

    /// The steps in their order.
    #[must_use]
    pub fn all(&self) -> [f64; 6] {
        [
            self.found,
            self.taken_up,
            self.examined,
            self.elsewhere,
            self.started,
            self.set,
        ]
    }

    /// From the detection by the server that recovers it until the function was recovered.
    #[must_use]
    pub fn function(&self) -> f64 {
        self.examined + self.elsewhere + self.started + self.set
    }
}

/// A recovery as the logs have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery<'a> {
    /// The server that recovered it.
    pub by: &'a str,
    /// When that server detected the trouble and began.
    pub detected: Duration,
    /// When the target was back, if it is.
    pub home: Option<Duration>,
    /// Its steps.
    pub steps: Steps,
}

/// A line of a system log: when, whose, what.
pub type Line<'a> = (Duration, &'a str, &'a Event);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Trouble,
    Ordered,
    Started,
    Served,
    Home,
}

impl Step {
    fn of(event: &Event, target: &str) -> Option<Self> {
        let (of, step) = match event {
            // A VM that is lost with its host is trouble too.
            Event::NetworkTrouble { target }
            | Event::ServiceTrouble { target, .. }
            | Event::HostLost { target, .. } => (target, Self::Trouble),
            Event::VmStart { target, .. } => (target, Self::Ordered),
            Event::VmStarted { target, .. } => (target, Self::Started),
            Event::FunctionRecovered { target, .. } => (target, Self::Served),
            Event::TargetRecovered { target, .. }
            | Event::ServiceRecovered { target }
            | Event::NetworkRecovered { target } => (target, Self::Home),
            _ => return None,
        };
        (of.as_str() == target).then_some(step)
    }
}

/// Reads the recovery of `target` from trouble at `struck`; `lines` are in the order of time, by one
/// clock. Of what follows from `until` on, when there was another trouble, only the return home counts.
/// `None` when nobody detected the trouble, or nothing came of it.
#[must_use]
pub fn read<'a>(
    lines: &[Line<'a>],
    target: &str,
    struck: Duration,
    until: Option<Duration>,
) -> Option<Recovery<'a>> {
    let mine = |(at, server, event): &Line<'a>| Some((*at, *server, Step::of(event, target)?));
    let mine: Vec<(Duration, &str, Step)> = lines
        .iter()
        .filter(|(at, _, _)| *at >= struck)
        .filter_map(mine)
        .filter(|(at, _, step)| *step == Step::Home || until.is_none_or(|until| *at < until))
        .collect();
    let all = |step| mine.iter().filter(move |(_, _, of)| *of == step);
    let home = all(Step::Home).next_back();
    let (_, by, _) = home.or_else(|| all(Step::Served).next_back())?;
    let (found, _, _) = all(Step::Trouble).next()?;
    let ordered = all(Step::Ordered).next().map(|(at, _, _)| *at);
    // The one with which it began to recover: a P2 detects the trouble once more when it takes P1's
    // part. Who took the recovery over later detected nothing itself.
    let before = || {
        let troubles = all(Step::Trouble);
        troubles.filter(move |(at, _, _)| ordered.is_none_or(|ordered| *at <= ordered))
    };
    let own = before().rfind(|(_, server, _)| server == by);
    let (detected, _, _) = own.or_else(|| before().next_back())?;
    let last = |step| all(step).next_back().map(|(at, _, _)| *at);
    let marks = [
        ordered,
        last(Step::Ordered),
        last(Step::Started),
        last(Step::Served),
    ];
    let mut times = [0.0; 4];
    let mut from = *detected;
    for (time, mark) in times.iter_mut().zip(marks) {
        if let Some(mark) = mark {
            *time = mark.saturating_sub(from).as_secs_f64();
            from = mark;
        }
    }
    let [examined, elsewhere, started, set] = times;
    Some(Recovery {
        by,
        detected: *detected,
        home: home.map(|(at, _, _)| *at),
        steps: Steps {
            found: found.saturating_sub(struck).as_secs_f64(),
            taken_up: detected.saturating_sub(*found).as_secs_f64(),
            examined,
            elsewhere,
            started,
            set,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p2_that_takes_p1s_part_begins_with_its_second_detection() {
        let log = [
            (5, "web2", "ftp: network trouble detected"),
            (25, "web2", "ftp: network trouble detected"),
            (45, "web2", "ftp: backup VM ftpb start on proxy"),
            (50, "web2", "ftp: backup VM ftpb failed on proxy: no room"),
            (51, "web2", "ftp: backup VM ftpb start on mail"),
            (61, "web2", "ftp: backup VM ftpb started on mail"),
            (
                63,
                "web2",
                "ftp: function recovered, VIP 172.21.14.203 set on ftpb at mail",
            ),
        ];
        let events = log.map(|(_, _, text)| text.parse::<Event>().unwrap());
        let lines: Vec<Line<'_>> = log
            .iter()
            .zip(&events)
            .map(|((at, server, _), event)| (Duration::from_secs(*at), *server, event))
            .collect();
        let recovery = read(&lines, "ftp", Duration::from_secs(1), None).unwrap();
        assert_eq!(recovery.by, "web2");
        assert_eq!(recovery.home, None);
        assert_eq!(recovery.steps.all(), [4.0, 20.0, 20.0, 6.0, 10.0, 2.0]);
        assert_eq!(recovery.steps.function(), 38.0);
        assert_eq!(read(&lines, "mail", Duration::ZERO, None), None);
        let early = read(&lines, "ftp", Duration::ZERO, Some(Duration::from_secs(60)));
        assert_eq!(early, None, "not recovered by then");
    }
}
