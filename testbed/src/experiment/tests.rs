//! Whole runs against a scripted site in virtual time.

mod scripted;

use super::atrest;
use super::calibrate;
use super::catalogue;
use super::conditions;
use super::progress::Lines;
use super::rundir::RunDir;
use super::session::{self, Order};
use super::site::{Site, Switch};
use super::spec::{Conditions, Load};
use super::survey;
use crate::report::calibration::Calibration;
use crate::report::table::Style;
use ringward::cluster::{Activation, Topology};
use scripted::{HOST, NT2, START, Scripted};
use std::path::PathBuf;
use std::time::Duration;

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
    session::conclude(&[finished], &all, false, &mut progress, &mut dir).unwrap();
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

/// It explains a failure; it excuses none.
#[test]
fn a_host_that_others_slow_is_reported_and_a_run_that_fails_on_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), NT2);
    site.broken = true;
    site.slow = Some((Duration::ZERO, Duration::from_secs(40)));
    let (good, out, root) = run("nt2", &mut site);
    assert!(!good && out.contains("NOT GOOD"), "{out}");
    let said = "others slowed the host for 40 s between";
    assert!(out.contains(&format!("Run 1: {said}")), "{out}");
    let page = std::fs::read_to_string(root.join("report.html")).unwrap();
    assert!(page.contains(&format!("Run 1: {said}")));
    let text = std::fs::read_to_string(root.join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["runs"][0]["slowed"]["lasted_s"], 40.0);
}

#[test]
fn slow_machines_get_timings_that_they_can_keep() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Scripted::new(dir.path(), NT2);
    let path = site.calibration_path().unwrap().unwrap();
    let mut slow = Calibration::read(&path).unwrap();
    slow.servers.get_mut("ftp").unwrap().restart = Some(84.2);
    slow.write(&path).unwrap();
    let (good, out, root) = run("nt2", &mut site);
    assert!(good, "{out}");
    let said = "All timings are 1.5 times the profile's";
    // When they are set, and in the report.
    assert_eq!(out.matches(said).count(), 2, "{out}");
    assert!(out.contains("T_im 15, T_nd 3, T_sw 4.5, T_rc 132"), "{out}");
    let page = std::fs::read_to_string(root.join("report.html")).unwrap();
    assert!(page.contains(said));
    let heard = site.heard.borrow();
    let first = |order| heard.iter().position(|(_, line)| line.contains(order));
    assert!(first("t_im = 15").unwrap() < first("ringward flag set").unwrap());
}

#[test]
fn conditions_are_set_before_the_managers_begin() {
    let dir = tempfile::tempdir().unwrap();
    let site = Scripted::new(dir.path(), NT2);
    let conditions = Conditions {
        activation: Some(Activation::Restore),
        topology: Some(Topology::Star),
        stress: [("ftp".to_owned(), 1024)].into(),
    };
    let mut said = Vec::new();
    let set = conditions::set(&site, &conditions, &mut |words| said.push(words.to_owned()));
    set.unwrap();
    atrest::begin(&site, &site.servers()).unwrap();
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
        assert!(set < when(server, "ringward flag set"));
    }
    // What is loaded makes room for the stress.
    assert!(when("ftp", "kill $pid") < when("ftp", "/run/stress/taken"));
    assert!(set < when("web1", "kill $pid"));
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
        "beginning 50 uploads of 1 MB files: not within 30 s: 0 of 10 are under way"
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
    assert!(last("awk").unwrap() < last("systemctl stop load*.service").unwrap());
}
