//! The speed of a link: when the last bit of a frame has passed, and when to drop instead.

use std::time::{Duration, Instant};

/// How much may wait for a link before frames are dropped, in octets: the buffer of a port.
pub const BACKLOG_OCTETS: u64 = 1 << 20;
/// What a frame costs on a wire beyond its octets: preamble, checksum and gap.
const OVERHEAD_OCTETS: u64 = 24;

/// One direction of one link. A token bucket kept as the moment at which the link falls idle.
#[derive(Debug, Clone)]
pub struct Shaper {
    bits_per_s: u64,
    idle_at: Option<Instant>,
}

impl Shaper {
    /// A link of that speed, idle. The speed must not be zero.
    pub fn new(mbit_per_s: u32) -> Shaper {
        Shaper {
            bits_per_s: u64::from(mbit_per_s.max(1)) * 1_000_000,
            idle_at: None,
        }
    }

    /// When a frame that comes at `now` is through; none if too much waits before it.
    pub fn admit(&mut self, now: Instant, octets: usize) -> Option<Instant> {
        let start = self.idle_at.map_or(now, |idle| idle.max(now));
        if start - now > self.time(BACKLOG_OCTETS) {
            return None;
        }
        let through = start + self.time(octets as u64 + OVERHEAD_OCTETS);
        self.idle_at = Some(through);
        Some(through)
    }

    fn time(&self, octets: u64) -> Duration {
        Duration::from_nanos(octets * 8 * 1_000_000_000 / self.bits_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tenth_of_the_speed_takes_ten_times_as_long() {
        let now = Instant::now();
        let through = |mbit| {
            let mut link = Shaper::new(mbit);
            let last = (0..50).filter_map(|_| link.admit(now, 1514)).last();
            last.unwrap() - now
        };
        assert_eq!(through(1000), Duration::from_nanos(50 * 1538 * 8));
        assert_eq!(through(100), through(1000) * 10);
    }

    #[test]
    fn a_full_buffer_drops_and_then_drains() {
        let now = Instant::now();
        let mut link = Shaper::new(100);
        let passed = (0..2000)
            .filter(|_| link.admit(now, 1514).is_some())
            .count();
        assert!((680..700).contains(&passed), "{passed}");
        assert!(link.admit(now + Duration::from_millis(100), 1514).is_some());
    }

    proptest! {
        #[test]
        fn never_faster_than_the_link_and_never_out_of_order(
            steps in proptest::collection::vec((0..2_000u64, 14..1514usize), 1..200),
        ) {
            let start = Instant::now();
            let (mut now, mut last, mut octets) = (start, start, 0u64);
            let mut link = Shaper::new(100);
            for (gap_us, size) in steps {
                now += Duration::from_micros(gap_us);
                if let Some(through) = link.admit(now, size) {
                    prop_assert!(through > last && through > now);
                    last = through;
                    octets += size as u64;
                    prop_assert!((last - start).as_nanos() as u64 >= octets * 80);
                }
            }
        }
    }
}
