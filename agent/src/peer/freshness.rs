//! How late a message is, without comparing the clocks of two machines.
//!
//! Every frame says how long its connection had been up when it was sent. The receiver notes the
//! smallest difference between its own time and that: the quickest way a frame of this connection
//! ever made. A frame that needs longer was held up by the difference: in a cut link, or because
//! this process or its whole machine stood still. The two clocks may drift apart; the smallest
//! difference therefore ages by a thousandth of the time that passes.

use std::time::Duration;

/// One part in this many is allowed for drift.
const DRIFT: i64 = 1000;

/// The estimate of one connection. Times are milliseconds since the connection came up, each
/// side's own.
#[derive(Debug, Default)]
pub(super) struct Delay {
    best: Option<Best>,
}

#[derive(Debug)]
struct Best {
    difference_ms: i64,
    at_ms: i64,
}

impl Delay {
    /// How long a frame that was sent at `sent` was held up when it arrives at `received`.
    pub(super) fn of(&mut self, sent: Duration, received: Duration) -> Duration {
        let (sent_ms, received_ms) = (milliseconds(sent), milliseconds(received));
        let difference_ms = received_ms - sent_ms;
        if let Some(best) = &self.best {
            let allowance_ms = (received_ms - best.at_ms) / DRIFT;
            let late_ms = difference_ms - best.difference_ms - allowance_ms;
            if late_ms > 0 {
                return Duration::from_millis(late_ms.unsigned_abs());
            }
        }
        self.best = Some(Best {
            difference_ms,
            at_ms: received_ms,
        });
        Duration::ZERO
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (sent, received) pairs in milliseconds, returns how late each was.
    fn late(pairs: &[(u64, u64)]) -> Vec<u128> {
        let mut delay = Delay::default();
        let one = |&(sent, received): &(u64, u64)| {
            delay
                .of(Duration::from_millis(sent), Duration::from_millis(received))
                .as_millis()
        };
        pairs.iter().map(one).collect()
    }

    #[test]
    fn steady_frames_are_never_late() {
        assert_eq!(late(&[(0, 1), (1000, 1001), (2000, 2001)]), [0, 0, 0]);
    }

    #[test]
    fn a_link_cut_for_five_seconds_makes_its_frames_late() {
        assert_eq!(
            late(&[(0, 1), (1000, 6001), (5500, 6001), (7000, 7001)]),
            [0, 4994, 494, 0]
        );
    }

    #[test]
    fn a_receiver_that_stood_still_sees_the_backlog_as_late() {
        assert_eq!(
            late(&[(0, 2), (1000, 1002), (2000, 14002), (13999, 14002)])[2..],
            [11987, 0]
        );
    }

    #[test]
    fn drift_of_the_clocks_is_not_lateness() {
        let pairs: Vec<_> = (0..1000).map(|s| (s * 1000, s * 1000 + s / 2)).collect();
        assert!(
            late(&pairs).iter().all(|&ms| ms < 2),
            "half a part in a thousand"
        );
    }
}
