//! Gathers everything that a run left on the machines into its run directory.
//!
//! Nothing here ends a run: what cannot be collected is noted, with the reason.

use super::rundir::RunDir;
use super::site::{self, Site, node};
use std::time::Duration;

/// How long a machine may take to hand out one file.
const WITHIN: Duration = Duration::from_secs(60);
/// Lines of a machine's journal that are kept.
const JOURNAL_LINES: &str = "6000";

/// The management files that are kept from before and after the trouble, without passwords.
const MANAGEMENT: &str = "cd /share || exit 1
for f in group separation operation trouble condition cluster.toml *.dat; do
echo \"== $f\"; grep -v password $f 2>/dev/null; done; true";

/// Collects the management files as one text. `when` is `before` or `after`.
pub fn management(site: &dyn Site, run: &mut RunDir, folder: &str, when: &str) {
    let what = format!("{folder}/management-{when}.txt");
    let about = format!("management files, management data and settings, {when} the trouble");
    command(
        site,
        run,
        node::FILE1,
        &["sh", "-c", MANAGEMENT],
        &what,
        &about,
    );
}

/// Collects logs, journals, consoles, the client's log and the LAN capture. `accesses` are the
/// client's log files with the servers they are about, `answering` the machines that can be asked.
pub fn everything(
    site: &dyn Site,
    run: &mut RunDir,
    folder: &str,
    accesses: &[(String, String)],
    answering: &[String],
) {
    management(site, run, folder, "after");
    for server in site.servers() {
        let (name, path) = (&server.name, format!("/share/log/{}.log", server.name));
        let what = format!("{folder}/log/{name}.log");
        let about = format!("system log of {name}, in the paper's form");
        command(site, run, node::FILE1, &["cat", &path], &what, &about);
    }
    for (server, path) in accesses {
        let what = format!("{folder}/client/{server}.log");
        let about = format!("the client's accesses to {server}'s function, OK or XX");
        command(site, run, node::CLIENT, &["cat", path], &what, &about);
    }
    let servers = site.servers().into_iter().map(|server| server.name);
    let others = [node::FILE1, node::FILE2, node::CLIENT].map(str::to_owned);
    for name in others.into_iter().chain(servers) {
        let what = format!("{folder}/journal/{name}.txt");
        if !answering.contains(&name) {
            let why = if site.is_on(&name) {
                "does not answer"
            } else {
                "is off"
            };
            run.lacks(format!("{what}: {name} {why}"));
            continue;
        }
        let argv = [
            "journalctl",
            "--no-pager",
            "-b",
            "-o",
            "short-precise",
            "-n",
            JOURNAL_LINES,
        ];
        command(
            site,
            run,
            &name,
            &argv,
            &what,
            &format!("journal of {name} since its boot"),
        );
    }
    for artefact in site.artefacts() {
        let name = format!("{folder}/{}", artefact.name);
        if let Err(error) = run.copy(&artefact.path, &name, &artefact.about) {
            run.lacks(format!("{name}: {:#}", anyhow::Error::from(error)));
        }
    }
    let name = format!("{folder}/lan.pcap");
    let copied = site.capture().and_then(|path| {
        Ok(run.copy(&path, &name, "every frame that a machine sent, cut short")?)
    });
    if let Err(error) = copied {
        run.lacks(format!("{name}: {error:#}"));
    }
}

/// Keeps what a command prints.
fn command(
    site: &dyn Site,
    run: &mut RunDir,
    machine: &str,
    argv: &[&str],
    name: &str,
    about: &str,
) {
    let kept = site::output(site, machine, argv, WITHIN)
        .and_then(|text| Ok(run.write(name, about, text)?));
    if let Err(error) = kept {
        run.lacks(format!("{name}: {error:#}"));
    }
}
