//! What a picture of a run shows, worked out from the logs: bars, arrows, stays and marks.

use super::read::Reader;
use crate::report::access::Access;
use crate::report::owners::Owners;
use crate::report::story::Story;
use ringward::cluster::Mac;
use ringward::manage::event::Event;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A server as a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// The VIP of its function.
    pub vip: Ipv4Addr,
    /// Its own hardware address.
    pub mac: Mac,
}

/// A run to draw. All moments are by one clock, since 1970.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Headline.
    pub title: &'a str,
    /// What was done, such as "`systemctl poweroff` on ftp".
    pub what: &'a str,
    /// When.
    pub struck: Duration,
    /// The servers in ring order.
    pub lanes: &'a [Lane],
    /// Those in trouble.
    pub targets: &'a [String],
    /// The system logs.
    pub story: &'a Story,
    /// Who answered for the VIPs.
    pub owners: Option<&'a Owners>,
    /// The client's accesses by target.
    pub accesses: &'a [(String, Vec<Access>)],
}

/// What a bar stands for; it decides colour and place in the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The server is in trouble.
    Trouble,
    /// Network examination mode.
    Network,
    /// Service recovery mode.
    Service,
    /// Backup server mode.
    Backup,
    /// Target server recovery mode.
    Target,
    /// P2 awaits R, U or D.
    P2Wait,
    /// Background job.
    Job,
    /// The backup VM starts.
    VmStart,
    /// The backup VM serves.
    VmServe,
}

/// Something that lasts, in seconds since the trouble.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) lane: usize,
    pub(super) kind: Kind,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

/// Something sent from one server to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sent: f64,
    pub(super) received: f64,
    pub(super) label: String,
}

/// A moment that the headline figures are read from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) label: &'static str,
}

/// A stay of a VIP on a lane.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) lane: usize,
    /// Which target's VIP, by its place among the targets.
    pub(super) target: usize,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Everything to draw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) bars: Vec<Bar>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) marks: Vec<Mark>,
    pub(super) held: Vec<Held>,
    /// Beginning and end of the picture.
    pub(super) window: (f64, f64),
}

/// Seconds shown before the trouble and after the last event.
pub(super) const LEAD_S: f64 = 5.0;

impl Model {
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        let mut model = Self::default();
        model.marks.push(Mark {
            at: 0.0,
            label: "trouble",
        });
        for (server, log) in &scene.story.logs {
            let Some(lane) = scene.lane(server) else {
                continue;
            };
            for target in scene.targets {
                Reader::new(scene, &mut model, lane, target).read(log);
            }
        }
        let last = model.bars.iter().map(|bar| bar.to);
        let last = last.chain(model.arrows.iter().map(|arrow| arrow.received));
        let last = last
            .chain(model.marks.iter().map(|mark| mark.at))
            .fold(0.0, f64::max);
        model.window = (-LEAD_S, last + LEAD_S);
        model.marks.sort_by(|a, b| a.at.total_cmp(&b.at));
        model.marks.dedup_by_key(|mark| mark.label);
        model.bars.sort_by_key(|bar| (bar.lane, bar.kind));
        scene.add_stays(&mut model);
        model
    }

    /// Moments at which something happens.
    pub(super) fn busy(&self) -> Vec<f64> {
        let bars = self.bars.iter().flat_map(|bar| [bar.from, bar.to]);
        let arrows = self
            .arrows
            .iter()
            .flat_map(|arrow| [arrow.sent, arrow.received]);
        bars.chain(arrows)
            .chain(self.marks.iter().map(|mark| mark.at))
            .collect()
    }
}

impl Scene<'_> {
    pub(super) fn lane(&self, server: &str) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.name == server)
    }

    /// Seconds since the trouble.
    pub(super) fn seconds(&self, at: Duration) -> f64 {
        at.as_secs_f64() - self.struck.as_secs_f64()
    }

    /// Where the VIPs of the targets were, by the capture. A backup VM's stay is drawn on the
    /// lane of the server that the logs say it ran on.
    fn add_stays(&self, model: &mut Model) {
        for (target, name) in self.targets.iter().enumerate() {
            let Some(home) = self.lane(name) else {
                continue;
            };
            let host = self
                .story
                .logs
                .values()
                .flatten()
                .find_map(|entry| match &entry.event {
                    Event::FunctionRecovered { target, host, .. } if target.as_str() == name => {
                        self.lane(host.as_str())
                    }
                    _ => None,
                });
            let stays = self.owners.and_then(|o| o.stays.get(&self.lanes[home].vip));
            for stay in stays.into_iter().flatten() {
                let at_home = stay.mac == self.lanes[home].mac;
                let lane = if at_home { Some(home) } else { host };
                let Some(lane) = lane else { continue };
                let (from, to) = (self.seconds(stay.from), self.seconds(stay.until));
                match model.held.last_mut() {
                    Some(last) if (last.lane, last.target) == (lane, target) => last.to = to,
                    _ => model.held.push(Held {
                        lane,
                        target,
                        from,
                        to,
                    }),
                }
            }
        }
        let window = model.window;
        for held in &mut model.held {
            held.from = held.from.max(window.0);
            held.to = held.to.min(window.1);
        }
        model.held.retain(|held| held.to > held.from);
    }
}
