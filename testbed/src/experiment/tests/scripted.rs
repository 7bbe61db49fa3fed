//! A site of two servers that does what a script says, in virtual time.

use super::super::follow::COLLECTED;
use super::super::ring::tests::{SHARE, addresses, two_servers};
use super::super::site::{Artefact, Facts, Ran, Site, SiteServer, Slowed, Switch};
use crate::report::calibration::tests::calibration;
use crate::report::clock;
use crate::report::owners::tests::{BACKUP, HOME, claims};
use ringward::cluster::Profile;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const START: Duration = Duration::from_secs(20_000 * 86_400 + 46_000);

/// What web1 logs after the trouble: milliseconds and text.
pub(super) const NT2: &[(u64, &str)] = &[
    (7130, "ftp: network trouble detected"),
    (9180, "ftp: network trouble found again"),
    (9430, "ftp: backup VM ftpb start on web1"),
    (10_270, "ftp: backup VM ftpb started on web1"),
    (
        10_390,
        "ftp: function recovered, VIP 172.21.14.203 set on ftpb at web1",
    ),
    (47_000, "__ftp: stopped, WOL to 00:00:00:00:00:03"),
    (68_000, "ftp: backup VM ftpb released on web1"),
    (68_100, "ftp: target recovered, VIP 172.21.14.203 set"),
];

/// The same when web1, which hosts the backup VM, loses power too.
pub(super) const HOST: &[(u64, &str)] = &[
    (7130, "ftp: network trouble detected"),
    (9430, "ftp: backup VM ftpb start on web1"),
    (
        10_390,
        "ftp: function recovered, VIP 172.21.14.203 set on ftpb at web1",
    ),
    (30_000, "ftp: host of the backup VM lost: web1"),
    (31_000, "ftp: backup VM ftpb start on mail"),
    (
        33_000,
        "ftp: function recovered, VIP 172.21.14.203 set on ftpb at mail",
    ),
    (34_000, "web1: network trouble detected"),
    (36_000, "web1: backup VM web1b start on mail"),
    (
        37_000,
        "web1: function recovered, VIP 172.21.14.202 set on web1b at mail",
    ),
    (68_100, "ftp: target recovered, VIP 172.21.14.203 set"),
    (70_000, "web1: target recovered, VIP 172.21.14.202 set"),
];

/// Two servers, of which web1 manages ftp and logs `script` once ftp is in trouble.
pub(super) struct Scripted {
    now: Cell<Duration>,
    pub(super) struck: Cell<Option<Duration>>,
    pub(super) script: &'static [(u64, &'static str)],
    /// The ring never becomes regular.
    pub(super) broken: bool,
    /// From when to when after the start others slow the host.
    pub(super) slow: Option<(Duration, Duration)>,
    /// What was switched, and when after the trouble.
    pub(super) switched: Vec<(String, Switch, Duration)>,
    /// Whose managers are at rest.
    resting: RefCell<BTreeSet<String>>,
    /// What web1 had logged when its log was first followed.
    followed_from: Cell<usize>,
    /// The cluster's settings.
    settings: RefCell<String>,
    /// What was ordered on which machine.
    pub(super) heard: RefCell<Vec<(String, String)>>,
    pub(super) dir: PathBuf,
}

impl Scripted {
    pub(super) fn new(dir: &Path, script: &'static [(u64, &'static str)]) -> Self {
        calibration().write(&dir.join("calibration.json")).unwrap();
        let (now, struck) = (Cell::new(START), Cell::new(None));
        Self {
            now,
            struck,
            script,
            broken: false,
            slow: None,
            switched: Vec::new(),
            resting: RefCell::default(),
            followed_from: Cell::default(),
            settings: RefCell::new("profile = \"paper\"\n".to_owned()),
            heard: RefCell::default(),
            dir: dir.to_owned(),
        }
    }

    fn log(&self) -> String {
        let mut lines: Vec<(Duration, String)> = Vec::new();
        let until = self.struck.get().unwrap_or(self.now()).min(self.now());
        for second in 0..(until - START).as_secs() {
            lines.push((
                START + Duration::from_secs(second),
                (second % 10).to_string(),
            ));
        }
        for (ms, text) in self.script {
            let at = self
                .struck
                .get()
                .map(|struck| struck + Duration::from_millis(*ms));
            if let Some(at) = at.filter(|at| *at <= self.now()) {
                lines.push((at, (*text).to_owned()));
            }
        }
        lines
            .iter()
            .map(|(at, text)| format!("{} {text}\n", clock::display(*at)))
            .collect()
    }

    fn accesses(&self) -> String {
        let struck = self.struck.get().unwrap_or(self.now());
        let back = struck + Duration::from_millis(10_450);
        let mut text = String::new();
        let mut at = START;
        while at <= self.now() {
            let word = if at > struck && at < back {
                "XX FTP connect: no answer"
            } else {
                "OK"
            };
            text.push_str(&format!("{} {word}\n", clock::display(at)));
            at += Duration::from_millis(100);
        }
        text
    }

    fn answer(&self, node: &str, argv: &[&str]) -> String {
        let line = argv.join(" ");
        if line.contains("== claims") {
            if self.broken {
                "== group\n".to_owned()
            } else {
                SHARE.to_owned()
            }
        } else if line.contains("ip -4 -o addr") {
            let text = addresses(if node == "ftp" { 3 } else { 2 });
            let rests = self.resting.borrow().contains(node);
            let lines = text.lines().filter(|line| !(rests && line.contains("/32")));
            lines.map(|line| format!("{line}\n")).collect()
        } else if line.contains("tail -n 0 -F") {
            self.followed_from.set(self.log().len());
            String::new()
        } else if line == "cat /share/log/web1.log" {
            self.log()
        } else if line == "cat /share/cluster.toml" {
            self.settings.borrow().clone()
        } else if line == "cat /run/access-ftp.log" {
            self.accesses()
        } else if line.starts_with("tail") {
            self.accesses()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned()
        } else if line.starts_with("ringward backup verify") {
            "restored from the share: serves after 6.21 s\nloaded and paused: serves after 2.14 s\n"
                .to_owned()
        } else if line.contains("pgrep -c -x awk") {
            "50\n".to_owned()
        } else if line.starts_with("date") {
            format!("{:.3}\n", self.now().as_secs_f64())
        } else {
            String::new()
        }
    }
}

impl Site for Scripted {
    fn servers(&self) -> Vec<SiteServer> {
        two_servers()
    }

    fn prepare(
        &mut self,
        _profile: Profile,
        _fresh: bool,
        say: &mut dyn FnMut(&str),
    ) -> anyhow::Result<()> {
        say("restored from the saved lab");
        let names = two_servers().into_iter().map(|server| server.name);
        *self.resting.borrow_mut() = names.collect();
        Ok(())
    }

    fn finish(&mut self, _keep: bool) -> anyhow::Result<()> {
        Ok(())
    }

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, time: Duration) -> anyhow::Result<()> {
        self.now.set(self.now.get() + time);
        Ok(())
    }

    fn exec(&self, node: &str, argv: &[&str], _within: Duration) -> anyhow::Result<Ran> {
        self.now.set(self.now.get() + Duration::from_millis(1));
        if argv[0] == "systemctl" && node == "ftp" {
            self.struck.set(Some(self.now()));
        }
        let mut resting = self.resting.borrow_mut();
        match argv {
            ["ringward", "flag", "clear"] => resting.insert(node.to_owned()),
            ["ringward", "flag", "set"] => resting.remove(node),
            _ => false,
        };
        drop(resting);
        if let ["sh", .., text, "/share/cluster.toml"] = argv {
            self.settings.replace((*text).to_owned());
        }
        let heard = (node.to_owned(), argv.join(" "));
        self.heard.borrow_mut().push(heard);
        let stdout = self.answer(node, argv).into_bytes();
        Ok(Ran {
            stdout,
            ..Ran::default()
        })
    }

    fn start(&self, node: &str, argv: &[&str]) -> anyhow::Result<()> {
        self.exec(node, argv, Duration::ZERO).map(drop)
    }

    fn read_on(&self, node: &str, path: &str, from: u64) -> anyhow::Result<Vec<u8>> {
        assert_eq!((node, path), ("file1", COLLECTED));
        let log = &self.log()[self.followed_from.get()..];
        let text = format!("==> /share/log/ftp.log <==\n\n==> /share/log/web1.log <==\n{log}");
        Ok(text.as_bytes()[usize::try_from(from)?..].to_vec())
    }

    fn answers(&self, node: &str) -> bool {
        self.is_on(node)
    }

    fn is_on(&self, _node: &str) -> bool {
        true
    }

    fn power(&mut self, node: &str, switch: Switch) -> anyhow::Result<()> {
        let after = self.now() - self.struck.get().unwrap_or(self.now());
        self.switched.push((node.to_owned(), switch, after));
        Ok(())
    }

    /// These machines share nothing.
    fn shuts_down(&self, _node: &str) {}

    fn is_up(&self, _node: &str) {}

    fn capture(&self) -> anyhow::Result<PathBuf> {
        let struck = self.struck.get().unwrap_or(START);
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap();
        let stay = |from: u64, mac| (ms(struck) + from, mac);
        let path = self.dir.join("lan.pcap");
        let mut macs = vec![stay(0, HOME)];
        if self.script == NT2 {
            macs.extend([stay(10_390, BACKUP), stay(68_100, HOME)]);
        }
        std::fs::write(&path, claims(&macs))?;
        Ok(path)
    }

    fn artefacts(&self) -> Vec<Artefact> {
        Vec::new()
    }

    fn slowed(&self, since: Duration) -> Option<Slowed> {
        let (from, until) = self.slow?;
        let from = (START + from).max(since);
        let until = (START + until).min(self.now());
        (from <= until).then(|| Slowed {
            from,
            until,
            lasted_s: (until - from).as_secs_f64(),
            times: 1.8,
        })
    }

    fn calibration_path(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(Some(self.dir.join("calibration.json")))
    }

    fn facts(&self) -> Facts {
        Facts {
            accelerator: "a script".to_owned(),
            ..Facts::default()
        }
    }
}
