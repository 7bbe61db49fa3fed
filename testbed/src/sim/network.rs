//! The LAN: which ways are cut, how long messages take, which get lost or come twice.

use std::time::Duration;

use super::random::Random;

/// How bad the network is for everybody. Rates are per mille.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Added to every message, milliseconds.
    pub delay_ms: u32,
    /// Up to this much more, drawn for each message, so that they overtake each other.
    pub jitter_ms: u32,
    /// Messages that get lost.
    pub loss: u32,
    /// Messages that come twice.
    pub duplicate: u32,
}

/// The network between servers; the share is the one after the last.
#[derive(Debug)]
pub(super) struct Network {
    n: usize,
    cut: Vec<bool>,
    cuts: usize,
    pub(super) weather: Weather,
}

/// A message's way one way, without bad weather.
const WAY: Duration = Duration::from_millis(1);
/// Requests that a ping sends within its time.
const PINGS: u32 = 4;

impl Network {
    pub(super) fn new(servers: usize) -> Self {
        let n = servers + 1;
        Self {
            n,
            cut: vec![false; n * n],
            cuts: 0,
            weather: Weather::default(),
        }
    }

    pub(super) fn set(&mut self, from: usize, to: usize, cut: bool) {
        let way = &mut self.cut[from * self.n + to];
        if *way != cut && from != to {
            *way = cut;
            self.cuts = if cut { self.cuts + 1 } else { self.cuts - 1 };
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.fill(false);
        self.cuts = 0;
        self.weather = Weather::default();
    }

    /// Whether nothing is wrong with it.
    pub(super) fn is_perfect(&self) -> bool {
        self.cuts == 0 && self.weather == Weather::default()
    }

    /// Whether a way is open.
    pub(super) fn leads(&self, from: usize, to: usize) -> bool {
        !self.cut[from * self.n + to]
    }

    /// Whether both ways are open.
    pub(super) fn joins(&self, a: usize, b: usize) -> bool {
        self.leads(a, b) && self.leads(b, a)
    }

    /// How long a message takes.
    pub(super) fn way(&self, random: &mut Random) -> Duration {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let Weather {
            delay_ms,
            jitter_ms,
            ..
        } = self.weather;
        match jitter_ms {
            0 => WAY + ms(delay_ms),
            _ => WAY + ms(delay_ms) + random.between(Duration::ZERO, ms(jitter_ms)),
        }
    }

    /// How often a message arrives: lost, once or twice.
    pub(super) fn copies(&self, random: &mut Random) -> usize {
        if random.chance(self.weather.loss) {
            0
        } else {
            1 + usize::from(random.chance(self.weather.duplicate))
        }
    }

    /// Whether one of the requests of a ping came back.
    pub(super) fn pings(&self, random: &mut Random) -> bool {
        let loss = self.weather.loss;
        (0..PINGS).any(|_| !random.chance(loss) && !random.chance(loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_cut_one_by_one() {
        let mut network = Network::new(2);
        network.set(0, 1, true);
        network.set(0, 1, true);
        assert!(!network.leads(0, 1) && network.leads(1, 0) && !network.joins(1, 0));
        network.set(0, 1, false);
        assert!(network.is_perfect());
        network.weather.loss = 1000;
        let mut random = Random::new(1);
        assert_eq!(network.copies(&mut random), 0);
        assert!(!network.pings(&mut random));
    }
}
