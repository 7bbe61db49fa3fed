//! Scenario files of `tests/scenarios`, each with the log that it must give beside it.
//!
//! `SIM_BLESS=1 cargo nextest run -p testbed golden` writes the logs anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sim::play::play;
use crate::sim::scenario::Scenario;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    files.sort();
    files
}

/// The log of one scenario, or what is wrong with it.
fn check(path: &Path, bless: bool) -> Result<(), String> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let scenario = Scenario::parse(&name, &text).map_err(|error| format!("{error:#}"))?;
    let outcome = play(&scenario, true).map_err(|error| format!("{name}: {error:#}"))?;
    let log = format!(
        "{}\n{}\n\n{}",
        scenario.title,
        scenario.shows,
        outcome.report(false)
    );
    let beside = path.with_extension("log");
    if bless {
        fs::write(&beside, &log).unwrap();
    }
    if !outcome.is_clean() {
        return Err(format!("{name}:\n{}", outcome.audit.report()));
    }
    let golden = fs::read_to_string(&beside).unwrap_or_default();
    let differs = golden.lines().zip(log.lines()).position(|(a, b)| a != b);
    match differs {
        _ if golden == log => Ok(()),
        Some(at) => Err(format!(
            "{name}: line {} is\n{}\nand was\n{}",
            at + 1,
            log.lines().nth(at).unwrap_or_default(),
            golden.lines().nth(at).unwrap_or_default()
        )),
        None => Err(format!("{name}: the log is longer or shorter than it was")),
    }
}

#[test]
fn every_scenario_gives_its_log() {
    let bless = std::env::var_os("SIM_BLESS").is_some();
    let files = files();
    assert!(files.len() >= 60, "{} scenarios", files.len());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let halves = files.chunks(files.len().div_ceil(2));
        let work = halves.map(|half| {
            scope.spawn(move || {
                let results = half.iter().map(|path| check(path, bless));
                results.filter_map(Result::err).collect::<Vec<String>>()
            })
        });
        let work: Vec<_> = work.collect();
        work.into_iter()
            .flat_map(|half| half.join().unwrap())
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_log_has_its_scenario() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "log") {
            assert!(path.with_extension("toml").exists(), "{}", path.display());
        }
    }
}
