//! The client's access log: when the function was there, seen from outside (section 4.2).
//!
//! `ringward probe` writes `hh:mm:ss.cc OK`, the moment of an answer, or `hh:mm:ss.cc XX why`, the
//! moment at which a failed access began. From the first XX to the next OK the client went
//! without. The paper's client looks once a second. Where ours looks more often both figures are
//! given, the second from the accesses that a client with a one-second grid would have made.

use super::clock;
use serde::Serialize;
use std::time::Duration;

/// A success shorter than this between two failures does not end an outage: a client that looks
/// once a second may miss it.
pub const FLICKER: Duration = Duration::from_secs(1);

/// The grid of the paper's client.
pub const PAPERS_CLIENT: Duration = Duration::from_secs(1);

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Moment, since 1970, by the client's clock.
    pub at: Duration,
    /// Why it failed; `None` for OK.
    pub failure: Option<String>,
}

/// A time without the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// First XX.
    pub from: Duration,
    /// The OK that ended it.
    pub until: Duration,
}

impl Outage {
    /// How long it lasted.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }
}

/// Reads a log. `reference` is any moment of the run; a line that is none of the client's (the
/// last one, cut short) is passed over.
#[must_use]
pub fn parse(text: &str, reference: Duration) -> Vec<Access> {
    text.lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ')?;
            let at = clock::nearest(clock::time_of_day(time)?, reference);
            match rest.split_once(' ').unwrap_or((rest, "")) {
                ("OK", _) => Some(Access { at, failure: None }),
                ("XX", why) => Some(Access {
                    at,
                    failure: Some(why.to_owned()),
                }),
                _ => None,
            }
        })
        .collect()
}

/// What a client that looks every `grid` would have written, by the log of one that looks `every` so often:
/// the first access in every cell of the grid, which starts with the first line, or all if it looks no more
/// often than that. A failed access that kept the client from looking in the next cell stands for that look.
#[must_use]
pub fn resample(accesses: &[Access], every: Duration, grid: Duration) -> Vec<Access> {
    if every >= grid {
        return accesses.to_vec();
    }
    let Some(start) = accesses.first().map(|a| a.at) else {
        return Vec::new();
    };
    let cell =
        |access: &Access| access.at.saturating_sub(start).as_nanos() / grid.as_nanos().max(1);
    let mut kept: Vec<Access> = Vec::new();
    for (number, access) in accesses.iter().enumerate() {
        let next = accesses.get(number + 1);
        let held_up = access.failure.is_some() && next.is_some_and(|n| cell(n) > cell(access) + 1);
        if held_up || kept.last().is_none_or(|last| cell(last) < cell(access)) {
            kept.push(access.clone());
        }
    }
    kept
}

/// The outages that are under way at `from` or begin later, and end within the log, in order. Of one that is
/// under way only the rest counts: an access that trouble finds half done fails with it.
#[must_use]
pub fn outages(accesses: &[Access], from: Duration) -> Vec<Outage> {
    let mut found: Vec<Outage> = Vec::new();
    let mut began = None;
    for access in accesses {
        match (&access.failure, began) {
            (Some(_), None) => {
                // Shortly after the last outage ended, this is the same one.
                let again = |last: &&Outage| access.at.saturating_sub(last.until) < FLICKER;
                began = match found.last().filter(again).copied() {
                    Some(last) => {
                        found.pop();
                        Some(last.from)
                    }
                    None => Some(access.at),
                };
            }
            (None, Some(since)) => {
                if access.at > from {
                    found.push(Outage {
                        from: from.max(since),
                        until: access.at,
                    });
                }
                began = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: Duration = Duration::from_secs(20_000 * 86_400 + 45_000);

    fn seconds(accesses: &[Access], from: f64) -> Vec<f64> {
        let start = accesses[0].at;
        outages(accesses, start + Duration::from_secs_f64(from))
            .iter()
            .map(|outage| outage.length().as_secs_f64())
            .collect()
    }

    fn log(lines: &[&str]) -> Vec<Access> {
        parse(&lines.join("\n"), REFERENCE)
    }

    /// Fig. 12: trouble is seen at 12:53:45.41 and the function is back at 12:53:59.56.
    #[test]
    fn the_papers_own_log() {
        let accesses = log(&[
            "12:53:44.30 OK",
            "12:53:45.41 XX FTP connect: no answer",
            "12:53:58.44 XX FTP connect: no answer",
            "12:53:59.56 OK",
            "12:54:00.",
        ]);
        assert_eq!(accesses.len(), 4);
        assert_eq!(seconds(&accesses, 1.0), [14.15]);
    }

    #[test]
    fn a_flicker_does_not_end_an_outage_but_a_second_does() {
        let accesses = log(&[
            "12:00:00.00 OK",
            "12:00:01.00 XX a",
            "12:00:02.00 OK",
            "12:00:02.50 XX a",
            "12:00:04.00 OK",
            "12:00:09.00 XX b",
            "12:00:09.50 OK",
        ]);
        assert_eq!(seconds(&accesses, 0.0), [3.0, 0.5]);
        assert_eq!(seconds(&accesses, 5.0), [0.5]);
    }

    #[test]
    fn an_access_that_trouble_finds_half_done_counts_from_then() {
        let accesses = log(&[
            "12:00:00.00 OK",
            "12:00:00.40 XX a",
            "12:00:00.60 OK",
            "12:00:02.30 OK",
            "12:00:02.55 XX FTP end of listing: no answer within 10000 ms",
            "12:00:12.55 XX FTP connect: no answer within 300 ms",
            "12:00:14.30 OK",
        ]);
        let close = |found: Vec<f64>, expected: f64| {
            assert!(
                matches!(found[..], [one] if (one - expected).abs() < 1e-6),
                "{found:?}"
            );
        };
        close(seconds(&accesses, 2.8), 11.5);
        // A client that looks once a second is held up as well.
        let (every, second) = (Duration::from_millis(250), Duration::from_secs(1));
        close(seconds(&resample(&accesses, every, second), 2.8), 11.5);
    }

    #[test]
    fn an_outage_that_never_ends_is_none() {
        assert!(seconds(&log(&["12:00:00.00 OK", "12:00:01.00 XX a"]), 0.0).is_empty());
        assert!(outages(&[], REFERENCE).is_empty());
    }

    #[test]
    fn a_slower_client_sees_the_first_access_of_each_of_its_seconds() {
        let accesses = log(&[
            "12:00:00.00 OK",
            "12:00:00.10 XX a",
            "12:00:00.95 XX a",
            "12:00:01.05 XX a",
            "12:00:01.15 OK",
            "12:00:02.05 OK",
        ]);
        let second = Duration::from_secs(1);
        assert_eq!(resample(&accesses, second, second), accesses);
        let slow = resample(&accesses, Duration::from_millis(50), second);
        assert_eq!(slow.len(), 3);
        assert_eq!(seconds(&slow, 0.0), [1.0]);
    }
}
