//! What a picture of a run shows, worked out from the logs: bars, arrows, stays and marks.

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
const LEAD_S: f64 = 5.0;

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

/// Reads one server's log for one target: what the server did about it.
struct Reader<'a, 'b> {
    scene: &'a Scene<'b>,
    model: &'a mut Model,
    lane: usize,
    target: &'a str,
    /// The mode's bar and the job's, while they last.
    open: [Option<(Kind, f64, String)>; 2],
    vm: Option<(usize, Kind, f64, String)>,
}

const MODE: usize = 0;
const JOB: usize = 1;

impl<'a, 'b> Reader<'a, 'b> {
    fn new(scene: &'a Scene<'b>, model: &'a mut Model, lane: usize, target: &'a str) -> Self {
        Self {
            scene,
            model,
            lane,
            target,
            open: [None, None],
            vm: None,
        }
    }

    fn read(mut self, log: &[crate::report::story::Entry]) {
        let mut last = 0.0;
        for entry in log {
            let at = self.scene.seconds(entry.at);
            if at < -LEAD_S {
                continue;
            }
            self.event(&entry.event, at);
            if !matches!(entry.event, Event::AwaitS { .. }) {
                last = at;
            }
        }
        for slot in [MODE, JOB] {
            self.close(slot, last);
        }
        self.close_vm(last);
    }

    fn event(&mut self, event: &Event, at: f64) {
        let mine = |target: &ringward::cluster::ServerName| target.as_str() == self.target;
        match event {
            Event::NetworkTrouble { target } if mine(target) => {
                self.mark(at, "detected");
                self.enter(MODE, Kind::Network, at, "network examination");
            }
            Event::ServiceTrouble { target, .. } if mine(target) => {
                self.mark(at, "detected");
                self.enter(MODE, Kind::Service, at, "service recovery");
            }
            Event::NetworkTroubleConfirmed { target }
            | Event::ServiceTroubleConfirmed { target }
                if mine(target) =>
            {
                self.enter(MODE, Kind::Backup, at, "backup server");
            }
            Event::P2Wait {}
                if self.open[MODE]
                    .as_ref()
                    .is_some_and(|o| o.0 != Kind::P2Wait) =>
            {
                self.enter(MODE, Kind::P2Wait, at, "P2 waits");
            }
            Event::TakesPart { target, .. } if mine(target) => {
                self.enter(MODE, Kind::Backup, at, "backup server");
            }
            Event::VmStart { target, vm, host } if mine(target) => {
                if let Some(host) = self.scene.lane(host.as_str()) {
                    self.arrow(host, at, at, "start");
                    self.close_vm(at);
                    self.vm = Some((host, Kind::VmStart, at, vm.to_string()));
                }
            }
            Event::FunctionRecovered { target, .. } if mine(target) => {
                self.mark(at, "function recovered");
                self.enter(MODE, Kind::Target, at, "target server recovery");
                if let Some((host, _, from, vm)) = self.vm.take() {
                    self.bar(host, Kind::VmStart, from, at, vm.clone());
                    self.vm = Some((host, Kind::VmServe, at, vm));
                }
            }
            Event::VmReleased { target, .. } if mine(target) => self.close_vm(at),
            Event::ServiceRecovered { target }
            | Event::NetworkRecovered { target }
            | Event::TargetRecovered { target, .. }
                if mine(target) =>
            {
                self.mark(at, "target recovered");
                self.close(MODE, at);
                if let Some(lane) = self.scene.lane(self.target) {
                    self.bar(lane, Kind::Trouble, 0.0, at, String::new());
                }
            }
            Event::RestartCheck { target } if mine(target) => {
                self.enter(JOB, Kind::Job, at, "restarting by itself?");
            }
            Event::Wol { target, .. } if mine(target) => {
                self.enter(JOB, Kind::Job, at, "woken");
                self.send(self.target.to_owned(), at, "wake-on-LAN");
            }
            Event::Reboot { target } if mine(target) => {
                self.enter(JOB, Kind::Job, at, "rebooting");
                self.send(self.target.to_owned(), at, "reboot");
            }
            Event::JobUp { target } | Event::JobDown { target } if mine(target) => {
                self.close(JOB, at);
            }
            Event::USent { target, to } if mine(target) => self.send(to.to_string(), at, "U"),
            Event::RSent { target, to } if mine(target) => self.send(to.to_string(), at, "R"),
            Event::DSent { target, to } if mine(target) => self.send(to.to_string(), at, "D"),
            Event::FlagSent { target } if mine(target) => {
                self.send(self.target.to_owned(), at, "flag");
            }
            Event::UReceived { target, .. }
            | Event::RReceived { target, .. }
            | Event::DReceived { target, .. }
                if mine(target) =>
            {
                self.close(MODE, at);
            }
            _ => {}
        }
    }

    fn mark(&mut self, at: f64, label: &'static str) {
        match self.model.marks.iter_mut().find(|mark| mark.label == label) {
            // Of several managers the first counts.
            Some(mark) => mark.at = mark.at.min(at),
            None => self.model.marks.push(Mark { at, label }),
        }
    }

    fn enter(&mut self, slot: usize, kind: Kind, at: f64, label: &str) {
        self.close(slot, at);
        self.open[slot] = Some((kind, at, label.to_owned()));
    }

    fn close(&mut self, slot: usize, at: f64) {
        if let Some((kind, from, label)) = self.open[slot].take() {
            self.bar(self.lane, kind, from, at, label);
        }
    }

    fn close_vm(&mut self, at: f64) {
        if let Some((host, kind, from, vm)) = self.vm.take() {
            self.bar(host, kind, from, at, vm);
        }
    }

    fn bar(&mut self, lane: usize, kind: Kind, from: f64, to: f64, label: String) {
        self.model.bars.push(Bar {
            lane,
            kind,
            from,
            to: to.max(from),
            label,
        });
    }

    /// An arrow to the lane of `to`; it ends when that server's log says so, else at once.
    fn send(&mut self, to: String, at: f64, label: &str) {
        let Some(lane) = self.scene.lane(&to) else {
            return;
        };
        let target = self.target;
        let is_receipt = |event: &Event| match event {
            Event::UReceived { target: of, .. } => label == "U" && of.as_str() == target,
            Event::RReceived { target: of, .. } => label == "R" && of.as_str() == target,
            Event::DReceived { target: of, .. } => label == "D" && of.as_str() == target,
            _ => false,
        };
        let received = self.scene.story.logs.get(&to).into_iter().flatten();
        let received = received
            .filter(|entry| is_receipt(&entry.event))
            .map(|entry| self.scene.seconds(entry.at))
            .find(|received| *received >= at);
        self.arrow(lane, at, received.unwrap_or(at), label);
    }

    fn arrow(&mut self, to: usize, sent: f64, received: f64, label: &str) {
        let (from, label) = (self.lane, label.to_owned());
        if from != to {
            self.model.arrows.push(Arrow {
                from,
                to,
                sent,
                received,
                label,
            });
        }
    }
}
