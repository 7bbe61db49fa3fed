//! Whole runs against a scripted site in virtual time.

use super::calibrate;
use super::catalogue;
use super::conditions;
use super::progress::Lines;
use super::ring::tests::{SHARE, addresses, two_servers};
use super::rundir::RunDir;
use super::session::{self, Order};
use super::site::{Artefact, Facts, Ran, Site, SiteServer, Switch};
use super::spec::{Conditions, Load};
use super::survey;
use crate::report::calibration::tests::calibration;
use crate::report::clock;
use crate::report::owners::tests::{BACKUP, HOME, claims};
use crate::report::table::Style;
use ringward::cluster::{Profile, Topology};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: Duration = Duration::from_secs(20_000 * 86_400 + 46_000);

/// What web1 logs after the trouble: milliseconds and text.
const NT2: &[(u64, &str)] = &[
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
const HOST: &[(u64, &str)] = &[
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
struct Scripted {
    now: Cell<Duration>,
    struck: Cell<Option<Duration>>,
    script: &'static [(u64, &'static str)],
    /// The ring never becomes regular.
    broken: bool,
    /// What was switched, and when after the trouble.
    switched: Vec<(String, Switch, Duration)>,
    /// Whose managers are at rest.
    resting: RefCell<BTreeSet<String>>,
    /// What was ordered on which machine.
    heard: RefCell<Vec<(String, String)>>,
    dir: PathBuf,
}

impl Scripted {
    fn new(dir: &Path, script: &'static [(u64, &'static str)]) -> Self {
        calibration().write(&dir.join("calibration.json")).unwrap();
        let (now, struck) = (Cell::new(START), Cell::new(None));
        Self {
            now,
            struck,
            script,
            broken: false,
            switched: Vec::new(),
            resting: RefCell::default(),
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
        } else if line.contains("@@") {
            let read: usize = argv
                .iter()
                .find_map(|arg| arg.strip_prefix("web1:"))
                .and_then(|from| from.parse().ok())
                .unwrap();
            format!("@@ ftp\n\n@@ web1\n{}\n", &self.log()[read - 1..])
        } else if line == "cat /share/log/web1.log" {
            self.log()
        } else if line == "cat /share/cluster.toml" {
            "profile = \"paper\"\n".to_owned()
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

/// Runs an experiment; gives whether it was good, what was printed, and the run directory.
fn run(name: &str, site: &mut Scripted) -> (bool, String, PathBuf) {
    let all = catalogue::find(name, &catalogue::tests::SERVERS).unwrap();
    let experiment = &all[0];
    let root = site.dir.join("run");
    let mut dir = RunDir::create(&root).unwrap();
    let mut out = Vec::new();
    let order = Order {
        repeats: 1,
        fresh: false,
        needs: calibrate::needs(&all, &catalogue::tests::SERVERS),
        style: Style::Plain,
    };
    let mut progress = Lines::new(&mut out);
    let finished = session::run(site, &mut progress, experiment, &order, &mut dir).unwrap();
    let good = finished.result.good;
    session::conclude(&[finished], &all, false, &mut dir).unwrap();
    (good, String::from_utf8(out).unwrap(), root)
}

#[test]
fn nt2_from_trouble_to_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), NT2);
    let (good, out, root) = run("nt2", &mut site);
    assert!(good, "{out}");
    let struck = site.struck.get().unwrap() - START;
    let into_cycle = struck.as_secs_f64() % 10.0;
    assert!(
        (into_cycle - 5.0).abs() < 0.1,
        "struck {into_cycle} s after S"
    );
    insta::assert_snapshot!(out.replace(root.to_str().unwrap(), "RUN"));
    let files = std::fs::read_to_string(root.join("README.txt")).unwrap();
    for file in [
        "run-1/log/web1.log",
        "run-1/client/ftp.log",
        "run-1/lan.pcap",
        "result.json",
    ] {
        assert!(files.contains(file) && root.join(file).exists(), "{file}");
    }
}

#[test]
fn a_recovery_that_does_not_come_is_a_failure_with_everything_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), &NT2[..2]);
    let (good, out, root) = run("nt2", &mut site);
    assert!(!good);
    assert!(
        out.contains(
            "Run 1 failed: function recovered: not within 110 s \
         (for ftp; the last word of the logs: web1: ftp: network trouble found again)"
        ),
        "{out}"
    );
    assert!(root.join("run-1/log/web1.log").exists());
    let junit = std::fs::read_to_string(root.join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"1\""), "{junit}");
}

#[test]
fn a_calibration_that_cannot_be_read_fails_the_run_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), NT2);
    std::fs::write(dir.path().join("calibration.json"), "{}").unwrap();
    let (good, out, root) = run("nt2", &mut site);
    assert!(!good && site.struck.get().is_none());
    assert!(
        out.contains("calibration.json is no calibration of schema 3; run with --fresh"),
        "{out}"
    );
    let junit = std::fs::read_to_string(root.join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"1\""), "{junit}");
}

#[test]
fn a_ring_that_is_not_regular_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), NT2);
    site.broken = true;
    let (good, out, _) = run("nt2", &mut site);
    assert!(!good && site.struck.get().is_none());
    assert!(
        out.contains("ring regular: not within 150 s (not in the group: web1, ftp)"),
        "{out}"
    );
}

#[test]
fn st1_needs_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let script = &[
        (5100, "ftp: service trouble detected: ftp"),
        (5120, "ftp: service restart"),
        (5410, "ftp: service recovered"),
    ];
    let mut site = Scripted::new(dir.path(), script);
    let (good, out, _) = run("st1", &mut site);
    assert!(good, "{out}");
    assert!(
        out.contains("target recovery T_s1t") && out.contains("0.31"),
        "{out}"
    );
}

#[test]
fn the_host_of_the_backup_vm_is_struck_when_the_function_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), HOST);
    let (_, out, root) = run("host-lost", &mut site);
    let [(node, Switch::Cut, after)] = &site.switched[..] else {
        panic!("{:?}", site.switched);
    };
    assert_eq!(node, "web1");
    let (after, t_im) = (after.as_secs_f64(), 10.0);
    // T_im / 2 after the functions are recovered, looks and orders in between.
    assert!((10.39 + t_im / 2.0..20.0).contains(&after), "{after}");
    let result = std::fs::read_to_string(root.join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    let run = &result["runs"][0];
    assert_eq!(run["failures"], serde_json::json!([]), "{out}");
    let read = |what: &str| {
        let targets = run["targets"].as_array().unwrap().iter();
        targets
            .map(|of| (of["server"].as_str().unwrap().to_owned(), of[what].as_f64()))
            .collect::<Vec<_>>()
    };
    let of = |name: &str, seconds| (name.to_owned(), Some(seconds));
    let functions = read("function");
    let expected = [of("ftp", 3.26), of("web1", 3.0), of("ftp", 3.0)];
    for ((server, is), (should, seconds)) in functions.iter().zip(&expected) {
        assert_eq!(server, should);
        assert!(
            (is.unwrap() - seconds.unwrap()).abs() < 0.011,
            "{functions:?}"
        );
    }
    assert_eq!(functions.len(), expected.len());
    assert!(out.contains("its host: function recovery"), "{out}");
}

#[test]
fn conditions_are_set_while_no_manager_works() {
    let dir = tempfile::tempdir().unwrap();
    let site = Scripted::new(dir.path(), NT2);
    let conditions = Conditions {
        topology: Some(Topology::Star),
        stress: [("ftp".to_owned(), 1024)].into(),
        ..Conditions::default()
    };
    let mut said = Vec::new();
    let servers = site.servers();
    let set = conditions::set(&site, &servers, &conditions, &mut |words| {
        said.push(words.to_owned())
    });
    set.unwrap();
    let heard = site.heard.borrow();
    let when = |node: &str, order: &str| {
        let is = |(on, line): &(String, String)| on == node && line.contains(order);
        heard
            .iter()
            .position(is)
            .unwrap_or_else(|| panic!("{node} never heard {order:?}: {heard:?}"))
    };
    let set = when("file1", "topology = \"star\"");
    for server in ["ftp", "web1"] {
        assert!(when(server, "ringward flag clear") < set);
        assert!(set < when(server, "ringward flag set"));
    }
    // What was set before stays.
    assert_eq!(set, when("file1", "profile = \"paper\""));
    let [(_, taken)] = &heard
        .iter()
        .filter(|(_, line)| line.contains("/run/stress/taken"))
        .collect::<Vec<_>>()[..]
    else {
        panic!("{heard:?}");
    };
    assert!(taken.ends_with("sh 1024 8192"), "{taken}");
    assert_eq!(
        said.last().map(String::as_str),
        Some("memory stress, of 8192 MB on the paper's machines: ftp 1024 MB (12 %)")
    );
}

#[test]
fn a_survey_keeps_what_it_measured_before_a_load_that_does_not_begin() {
    let dir = tempfile::tempdir().unwrap();
    let site = Scripted::new(dir.path(), NT2);
    let loads = [Load::None, Load::Jobs, Load::Uploads];
    let (mut said, mut all) = (Vec::new(), Vec::new());
    let mut say = |words: &str| said.push(words.to_owned());
    let servers = site.servers();
    let failed = survey::activations(&site, &servers, ["ftp", "web1"], &loads, &mut say, &mut all);
    let failed = format!("{:#}", failed.unwrap_err());
    assert_eq!(
        failed,
        "beginning 50 uploads of 1 MB files: not within 30 s: 0 of 50 are under way"
    );
    let measured: Vec<_> = all
        .iter()
        .map(|(load, times)| (*load, times.activation_standby, times.activation_restore))
        .collect();
    let times = (Some(2.14), Some(6.21));
    assert_eq!(
        measured,
        [
            (Load::None, times.0, times.1),
            (Load::Jobs, times.0, times.1)
        ]
    );
    assert!(
        said.contains(
            &"starting the backup VM of ftp on web1 under 50 programs that draw random numbers"
                .to_owned()
        )
    );
    // The programs end with their load.
    let heard = site.heard.borrow();
    let last = |order: &str| {
        heard
            .iter()
            .rposition(|(on, line)| on == "web1" && line.contains(order))
    };
    assert!(last("awk").unwrap() < last("systemctl stop load.service").unwrap());
}
