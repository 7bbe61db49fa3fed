//! Reads a system log into the bars, arrows and marks of a [`Model`].

use super::model::{Arrow, Bar, Kind, LEAD_S, Mark, Model, Scene};
use crate::report::story::Entry;
use ringward::cluster::ServerName;
use ringward::manage::event::Event;

/// Reads one server's log for one target: what the server did about it.
pub(super) struct Reader<'a, 'b> {
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
    pub(super) fn new(
        scene: &'a Scene<'b>,
        model: &'a mut Model,
        lane: usize,
        target: &'a str,
    ) -> Self {
        Self {
            scene,
            model,
            lane,
            target,
            open: [None, None],
            vm: None,
        }
    }

    pub(super) fn read(mut self, log: &[Entry]) {
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
        let mine = |target: &ServerName| target.as_str() == self.target;
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
