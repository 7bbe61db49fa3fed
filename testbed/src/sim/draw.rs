//! Scenarios drawn from a seed: hours of trouble of all kinds, with repairs in between.

use std::collections::BTreeMap;

use ringward::cluster::{Activation, Profile, Topology};

use super::fault::{Fault, OnServer, OnShare, OnWay, Timed};
use super::network::Weather;
use super::play::Ends;
use super::random::Random;
use super::scenario::Scenario;

/// What is the same for all seeds.
#[derive(Debug, Clone)]
pub struct Frame {
    /// How many servers.
    pub servers: usize,
    /// Who manages whom.
    pub topology: Topology,
    /// The timings to start from.
    pub profile: Profile,
    /// How long, hours of virtual time.
    pub hours: f64,
}

/// The scenario of a seed: spells of up to six faults, each spell followed by a repair of all and by
/// some quiet. A spell can begin before all is as at the start again.
pub fn draw(seed: u64, frame: &Frame) -> Scenario {
    let mut draw = Draw {
        random: Random::new(seed),
        servers: frame.servers,
        faults: Vec::new(),
    };
    let end = frame.hours * 3600.0;
    let activation = if draw.random.chance(500) {
        Activation::Standby
    } else {
        Activation::Restore
    };
    let mut at = 20.0 + draw.seconds(20.0);
    loop {
        for _ in 0..=draw.random.below(6) {
            draw.fault(at);
            at += if draw.random.chance(300) {
                draw.seconds(2.0)
            } else {
                draw.seconds(60.0)
            };
        }
        at += 10.0 + draw.seconds(200.0);
        draw.add(at, Fault::Heal);
        at += 100.0 + draw.seconds(700.0);
        if at + 500.0 > end {
            break;
        }
    }
    let mut faults = draw.faults;
    faults.sort_by(|a, b| a.0.total_cmp(&b.0));
    // What a spell left to end by itself may come after the last repair.
    let last = faults.last().map_or(0.0, |(at, _)| *at);
    faults.push((last + 1.0, Fault::Heal));
    Scenario {
        title: format!("seed {seed}"),
        shows: "What a seed draws.".to_owned(),
        servers: frame.servers,
        profile: frame.profile,
        topology: frame.topology,
        activation,
        seed,
        room_mb: BTreeMap::new(),
        faults,
        until: end.max(last + 2.0),
        ends: Ends::Home,
    }
}

struct Draw {
    random: Random,
    servers: usize,
    faults: Vec<(f64, Fault)>,
}

impl Draw {
    /// Seconds up to `most`, in milliseconds.
    fn seconds(&mut self, most: f64) -> f64 {
        let thousandths = self.random.below(1000);
        (most * f64::from(u32::try_from(thousandths).unwrap_or(0))).round() / 1000.0
    }

    fn add(&mut self, at: f64, fault: Fault) {
        // Moments in milliseconds read better.
        self.faults.push(((at * 1000.0).round() / 1000.0, fault));
    }

    fn server(&mut self) -> usize {
        self.random.below(self.servers)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    fn fault(&mut self, at: f64) {
        use OnServer::{
            AgentCrash, AgentDeath, Freeze, PowerOff, Restart, ServiceBreak, ServiceHang,
            ServiceLoss, ServiceStop, StandbyFailure, Thaw, VmFailure, WolFailure,
        };
        let server = self.server();
        let fault = match self.random.below(20) {
            0..=3 => Fault::Server(PowerOff, server),
            4 => Fault::Server(Restart, server),
            5..=6 => {
                let what = self.pick(&[ServiceStop, ServiceHang, ServiceBreak, ServiceLoss]);
                Fault::Server(what, server)
            }
            7..=8 => {
                let back = at + 1.0 + self.seconds(60.0);
                self.add(back, Fault::Server(Thaw, server));
                Fault::Server(Freeze, server)
            }
            9 => Fault::Server(self.pick(&[AgentCrash, AgentCrash, AgentDeath]), server),
            10 => Fault::Server(self.pick(&[VmFailure, StandbyFailure, WolFailure]), server),
            11 => {
                let what = self.pick(&[Timed::Late, Timed::ClockJump, Timed::VmSlow]);
                Fault::Timed(what, server, self.seconds(12.0))
            }
            12 => Fault::Timed(Timed::ServiceFlap, server, 1.0 + self.seconds(30.0)),
            13..=15 => {
                let peer = self.random.below(self.servers + 1);
                let what = self.pick(&[OnWay::Cut, OnWay::Cut, OnWay::CutOneWay]);
                let (a, b) = if self.random.chance(500) {
                    (server, peer)
                } else {
                    (peer, server)
                };
                if self.random.chance(500) {
                    let back = at + 1.0 + self.seconds(60.0);
                    self.add(back, Fault::Way(OnWay::Join, a, b));
                }
                Fault::Way(what, a, b)
            }
            16..=17 => {
                let sides = 0..=self.servers;
                let side = sides.filter(|_| self.random.chance(500)).collect();
                Fault::Partition(side)
            }
            18 => Fault::Network(Weather {
                delay_ms: self.pick(&[0, 5, 50, 300]),
                jitter_ms: self.pick(&[0, 20, 200, 2000]),
                loss: self.pick(&[0, 10, 50, 200]),
                duplicate: self.pick(&[0, 10, 100]),
            }),
            _ => return self.share(at),
        };
        self.add(at, fault);
    }

    fn share(&mut self, at: f64) {
        let slow = 0.2 + self.seconds(4.0);
        let fault = match self.random.below(6) {
            0..=1 => Fault::Share(OnShare::Away),
            2 => Fault::Share(OnShare::Hang),
            3 => Fault::ShareSlow(slow),
            4 => Fault::Share(OnShare::Torn),
            _ => Fault::Share(OnShare::Stale),
        };
        self.add(at, fault);
        let back = at + 1.0 + self.seconds(120.0);
        self.add(back, Fault::Share(OnShare::Back));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_again() {
        let frame = |servers| Frame {
            servers,
            topology: Topology::Ring,
            profile: Profile::Paper,
            hours: 1.0,
        };
        let first = draw(7, &frame(6));
        assert_eq!(first, draw(7, &frame(6)));
        assert_ne!(first.faults, draw(8, &frame(6)).faults);
        assert!(first.faults.len() > 6, "{:?}", first.faults);
        assert_eq!(
            first.faults.last().map(|(_, fault)| fault),
            Some(&Fault::Heal)
        );
        let text = first.to_toml().unwrap();
        assert_eq!(Scenario::parse("x.toml", &text).unwrap(), first);
        draw(1, &frame(1));
    }
}
