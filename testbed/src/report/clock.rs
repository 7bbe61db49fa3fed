//! Times in logs: `hh:mm:ss.cc` of a day in UTC, put on one axis of time since 1970.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The time of day that `text` gives as `hh:mm:ss.cc`; `None` when it is anything else.
#[must_use]
pub fn time_of_day(text: &str) -> Option<Duration> {
    let (clock, hundredths) = text.split_once('.')?;
    let mut parts = clock.split(':').map(two_digits);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let hundredths = two_digits(hundredths)?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60 + seconds;
    Some(Duration::from_millis(seconds * 1000 + hundredths * 10))
}

fn two_digits(text: &str) -> Option<u64> {
    let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The moment with that time of day that lies nearest to `reference` (both since 1970): logs give
/// no date, and no run lasts half a day.
#[must_use]
pub fn nearest(time_of_day: Duration, reference: Duration) -> Duration {
    let days = reference.as_secs() / DAY.as_secs();
    let midnight = DAY * u32::try_from(days).unwrap_or(u32::MAX);
    let here = midnight + time_of_day;
    let others = [here.saturating_sub(DAY), here + DAY];
    others.into_iter().fold(here, |best, other| {
        if other.abs_diff(reference) < best.abs_diff(reference) {
            other
        } else {
            best
        }
    })
}

/// `at` as `hh:mm:ss.cc`, UTC.
#[must_use]
pub fn display(at: Duration) -> String {
    let of_day = at.as_secs() % DAY.as_secs();
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!(
        "{hours:02}:{minutes:02}:{seconds:02}.{:02}",
        at.subsec_millis() / 10
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hundredths_of_a_day_are_times() {
        assert_eq!(
            time_of_day("12:53:45.41"),
            Some(Duration::from_millis(46_425_410))
        );
        for bad in [
            "12:53:45",
            "24:00:00.00",
            "1:02:03.04",
            "aa:bb:cc.dd",
            "12:53:45.4",
            "",
        ] {
            assert_eq!(time_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_log_across_midnight_stays_in_order() {
        let reference = 20_000 * DAY - Duration::from_secs(1);
        let before = nearest(time_of_day("23:59:59.50").unwrap(), reference);
        let after = nearest(time_of_day("00:00:00.25").unwrap(), reference);
        assert_eq!(after - before, Duration::from_millis(750));
        assert_eq!(display(after), "00:00:00.25");
        let early = 20_000 * DAY + Duration::from_secs(1);
        assert_eq!(nearest(time_of_day("23:59:59.50").unwrap(), early), before);
    }
}
