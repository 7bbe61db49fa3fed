//! How far the machines' clocks are from the lab's, so that their logs can share one picture.
//!
//! Recovery times never need this: each is read off one machine's own log.

use super::site::{self, Site};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

/// Offsets of the machines' clocks, in seconds: the machine's less the lab's.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Clocks {
    offsets: BTreeMap<String, f64>,
}

impl Clocks {
    /// Reads the clock of every named machine that has power and answers.
    #[must_use]
    pub fn read<'a>(site: &dyn Site, machines: impl IntoIterator<Item = &'a str>) -> Self {
        let read = |machine: &str| {
            let before = site.now();
            let text = site::output(site, machine, &["date", "+%s.%N"], WITHIN).ok()?;
            let middle = (before + site.now()).as_secs_f64() / 2.0;
            Some(text.trim().parse::<f64>().ok()? - middle)
        };
        let offsets = machines
            .into_iter()
            .filter(|machine| site.is_on(machine))
            .filter_map(|machine| Some((machine.to_owned(), read(machine)?)))
            .collect();
        Self { offsets }
    }

    /// Whether the machine's clock was read.
    #[must_use]
    pub fn knows(&self, machine: &str) -> bool {
        self.offsets.contains_key(machine)
    }

    /// A moment of the machine's clock as the lab's clock has it. A machine that was never read
    /// is taken to be right.
    #[must_use]
    pub fn to_lab(&self, machine: &str, at: Duration) -> Duration {
        shift(at, -self.offset(machine))
    }

    /// A moment of the lab's clock as the machine's clock has it.
    #[must_use]
    pub fn to_machine(&self, machine: &str, at: Duration) -> Duration {
        shift(at, self.offset(machine))
    }

    fn offset(&self, machine: &str) -> f64 {
        self.offsets.get(machine).copied().unwrap_or(0.0)
    }
}

fn shift(at: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(at.as_secs_f64() + by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_there_and_back() {
        let clocks = Clocks {
            offsets: [("ftp".to_owned(), -1.5)].into(),
        };
        let at = Duration::from_secs(100);
        assert_eq!(clocks.to_lab("ftp", at), Duration::from_millis(101_500));
        assert_eq!(clocks.to_machine("ftp", clocks.to_lab("ftp", at)), at);
        assert_eq!(clocks.to_lab("mail", at), at);
    }
}
