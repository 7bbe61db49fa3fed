//! The switch's decisions, without sockets and without a clock: learn, forward, shape, delay.
//!
//! A frame enters at a port at some moment and is due at other ports later. Between the two lie
//! both links (see [`Shaper`]) and the faults. Architecture invariant: nothing here blocks, and
//! every table and queue has a limit.

use super::fault::{Faults, Verdict};
use super::frame::{self, Frame};
use super::shape::Shaper;
use ringward::cluster::Mac;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

/// Learned addresses are forgotten after this long without a frame from them.
const AGE_LIMIT: Duration = Duration::from_secs(300);
/// Learned addresses at most; beyond, frames to unlearned ones are flooded.
const TABLE_LIMIT: usize = 1024;
/// Frames under way at most.
const UNDER_WAY_LIMIT: usize = 65_536;

/// A port, by its place in the list that the fabric was made with.
pub type Port = usize;

#[derive(Debug)]
struct Link {
    machine: String,
    inward: Shaper,
    outward: Shaper,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    due: Instant,
    number: u64,
    to: Port,
    frame: Frame,
}

/// Frames counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came in from machines.
    pub received: u64,
    /// Handed out, once for each port.
    pub delivered: u64,
    /// Lost to faults.
    pub lost: u64,
    /// Lost to full buffers.
    pub overflowed: u64,
}

/// The switch's state.
#[derive(Debug)]
pub struct Fabric {
    links: Vec<Link>,
    learned: HashMap<Mac, (Port, Instant)>,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    faults: Faults,
    number: u64,
    random: u64,
    counts: Counts,
}

impl Fabric {
    /// A switch with one port for each machine, given by name and link speed in Mbit/s.
    pub fn new<'a>(machines: impl IntoIterator<Item = (&'a str, u32)>, faults: Faults) -> Fabric {
        let link = |(name, speed): (&str, u32)| Link {
            machine: name.to_owned(),
            inward: Shaper::new(speed),
            outward: Shaper::new(speed),
        };
        Fabric {
            links: machines.into_iter().map(link).collect(),
            learned: HashMap::new(),
            under_way: BinaryHeap::new(),
            faults,
            number: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            counts: Counts::default(),
        }
    }

    /// Takes a frame from the machine at `from`.
    pub fn receive(&mut self, now: Instant, from: Port, frame: Frame) {
        self.counts.received += 1;
        let (Some(to), Some(source)) = (frame::destination(&frame), frame::source(&frame)) else {
            return;
        };
        let Some(inside) = self.links[from].inward.admit(now, frame.len()) else {
            self.counts.overflowed += 1;
            return;
        };
        self.learn(now, source, from);
        let known = if frame::is_group(to) {
            None
        } else {
            self.port_of(now, to)
        };
        match known {
            Some(port) if port == from => {}
            Some(port) => self.send(inside, from, port, frame),
            None => {
                for port in (0..self.links.len()).filter(|p| *p != from) {
                    self.send(inside, from, port, frame.clone());
                }
            }
        }
    }

    /// The next frame that is due by `now`, and where.
    pub fn deliver(&mut self, now: Instant) -> Option<(Port, Frame)> {
        if self.under_way.peek()?.0.due > now {
            return None;
        }
        let next = self.under_way.pop()?.0;
        self.counts.delivered += 1;
        Some((next.to, next.frame))
    }

    /// When the next frame will be due.
    pub fn next_due(&self) -> Option<Instant> {
        self.under_way.peek().map(|next| next.0.due)
    }

    /// The machine at `port` went off or came on: what was learned there is void.
    pub fn forget(&mut self, port: Port) {
        self.learned.retain(|_, (at, _)| *at != port);
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn learn(&mut self, now: Instant, source: Mac, from: Port) {
        let full = self.learned.len() >= TABLE_LIMIT && !self.learned.contains_key(&source);
        let cut = self.faults.is_cut(&self.links[from].machine);
        if !frame::is_group(source) && !full && !cut {
            self.learned.insert(source, (from, now));
        }
    }

    fn port_of(&self, now: Instant, mac: Mac) -> Option<Port> {
        let (port, seen) = self.learned.get(&mac)?;
        (now.saturating_duration_since(*seen) < AGE_LIMIT).then_some(*port)
    }

    fn send(&mut self, at: Instant, from: Port, to: Port, frame: Frame) {
        let dice = self.dice();
        let verdict = self
            .faults
            .judge(&self.links[from].machine, &self.links[to].machine, dice);
        let Verdict::Pass(later) = verdict else {
            self.counts.lost += 1;
            return;
        };
        if self.under_way.len() >= UNDER_WAY_LIMIT {
            self.counts.overflowed += 1;
            return;
        }
        match self.links[to].outward.admit(at, frame.len()) {
            None => self.counts.overflowed += 1,
            Some(through) => {
                self.number += 1;
                let number = self.number;
                self.under_way.push(Reverse(UnderWay {
                    due: through + later,
                    number,
                    to,
                    frame,
                }));
            }
        }
    }

    /// A random number below 100 (xorshift; the same sequence in every run).
    fn dice(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % 100) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Effect, Scope};
    use super::super::frame::tests::{ALL, frame};
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 3] = ["mail", "ftp", "client"];

    fn mac(n: u8) -> Mac {
        Mac([0, 0, 0, 0, 0, n])
    }

    fn fabric(faults: &Faults) -> Fabric {
        Fabric::new(
            NAMES.map(|n| (n, if n == "client" { 100 } else { 1000 })),
            faults.clone(),
        )
    }

    fn drain(fabric: &mut Fabric, now: Instant) -> Vec<Port> {
        let later = now + Duration::from_secs(60);
        std::iter::from_fn(|| fabric.deliver(later))
            .map(|(port, _)| port)
            .collect()
    }

    fn data(to: Mac, from: Mac) -> Frame {
        frame(to, from, [8, 0], &[0; 1000])
    }

    #[test]
    fn floods_what_it_does_not_know_and_learns() {
        let (now, mut f) = (Instant::now(), fabric(&Faults::default()));
        f.receive(now, 0, data(mac(2), mac(1)));
        assert_eq!(drain(&mut f, now), [1, 2]);
        f.receive(now, 1, data(mac(1), mac(2)));
        assert_eq!(drain(&mut f, now), [0]);
        f.receive(now, 2, data(ALL, mac(3)));
        assert_eq!(drain(&mut f, now), [0, 1]);
    }

    #[test]
    fn an_address_that_moves_is_found_at_its_new_place() {
        let (now, mut f) = (Instant::now(), fabric(&Faults::default()));
        f.receive(now, 0, data(ALL, mac(9)));
        f.receive(now, 1, data(ALL, mac(9)));
        drain(&mut f, now);
        f.receive(now, 2, data(mac(9), mac(3)));
        assert_eq!(drain(&mut f, now), [1]);
        f.forget(1);
        f.receive(now, 2, data(mac(9), mac(3)));
        assert_eq!(drain(&mut f, now), [0, 1]);
    }

    #[test]
    fn the_client_gets_a_tenth_of_the_speed() {
        let (now, mut f) = (Instant::now(), fabric(&Faults::default()));
        f.receive(now, 0, data(ALL, mac(1)));
        let due = |f: &mut Fabric| {
            let at = f.next_due().unwrap();
            (at - now, f.deliver(at).unwrap().0)
        };
        let wire = Duration::from_nanos((1014 + 24) * 8);
        assert_eq!(due(&mut f), (wire * 2, 1));
        assert_eq!(due(&mut f), (wire * 11, 2));
    }

    #[test]
    fn a_cut_link_neither_sends_nor_gets_nor_teaches() {
        let (now, faults) = (Instant::now(), Faults::default());
        let mut f = fabric(&faults);
        let cut = faults.make(Scope::Link("ftp".into()), Effect::Drop);
        f.receive(now, 1, data(ALL, mac(2)));
        f.receive(now, 0, data(mac(2), mac(1)));
        assert_eq!(drain(&mut f, now), [2]);
        assert_eq!(f.counts().lost, 3);
        drop(cut);
        f.receive(now, 0, data(mac(2), mac(1)));
        assert_eq!(drain(&mut f, now), [1, 2]);
    }

    proptest! {
        #[test]
        fn every_frame_is_accounted_for(
            steps in proptest::collection::vec((0..3usize, 0..6u8, 0..6u8, 0..500u64), 0..200),
            cut in proptest::option::of(0..3usize),
        ) {
            let (mut now, faults) = (Instant::now(), Faults::default());
            let mut f = fabric(&faults);
            let _cut = cut.map(|p| faults.make(Scope::Link(NAMES[p].into()), Effect::Drop));
            let mut copies = 0;
            for (port, to, from, gap_us) in steps {
                now += Duration::from_micros(gap_us);
                let to = if to == 0 { ALL } else { mac(to) };
                let before = f.under_way.len() as u64 + f.counts().lost + f.counts().overflowed;
                f.receive(now, port, data(to, mac(from + 1)));
                let after = f.under_way.len() as u64 + f.counts().lost + f.counts().overflowed;
                prop_assert!(after - before <= 2);
                copies += after - before;
                while let Some((at, _)) = f.deliver(now) {
                    prop_assert!(Some(at) != cut);
                }
            }
            drain(&mut f, now);
            let c = f.counts();
            prop_assert_eq!(c.delivered + c.lost + c.overflowed, copies);
        }
    }
}
