//! Measures what our machines are like, as the paper's Table 3 does for its own.
//!
//! A backup VM is tried while all managers are at rest: their flags are cleared. Then all servers
//! but the target are set to work, since beside managers at work a machine that shares its
//! processors with theirs boots as slowly as in a run. The target is not in the group file that
//! they start with, so nobody takes it for one in trouble. The site must be prepared anew afterwards.

use super::client;
use super::ring::RingState;
use super::site::{self, Site, SiteServer, Switch, node};
use crate::report::access;
use crate::report::calibration::{Calibration, ServerTimes};
use crate::report::figures::median;
use anyhow::{Context, bail};
use ringward::cluster::Activation;
use std::time::Duration;

const SMALL: Duration = Duration::from_secs(60);
/// Until every server has let its VIP go.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Until the servers that are set to work are a ring at rest.
const RING_WITHIN: Duration = Duration::from_secs(180);
/// A boot of an emulated server takes 10-60 s.
const BOOT_WITHIN: Duration = Duration::from_secs(300);
const OFF_WITHIN: Duration = Duration::from_secs(120);
/// Restores a VM twice and examines it twice.
const VERIFY_WITHIN: Duration = Duration::from_secs(300);
/// Interval of the accesses that a start is timed with.
const EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Examinations that T_se is the median of.
const EXAMS: usize = 5;

/// Whether the site lacks figures about some of `targets`, or old ones must not be used.
#[must_use]
pub fn is_due(site: &dyn Site, targets: &[String], fresh: bool) -> bool {
    let known = Calibration::read(&site.calibration_path()).unwrap_or_default();
    fresh
        || targets
            .iter()
            .any(|target| !known.servers.get(target).is_some_and(ServerTimes::is_whole))
}

/// Measures `targets` and keeps the figures with those of other servers that the site has. What
/// cannot be measured is said and left out. The site must be prepared anew afterwards.
///
/// # Errors
/// When the figures cannot be kept, or the operator interrupts.
pub fn measure_and_keep(
    site: &mut dyn Site,
    targets: &[String],
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let path = site.calibration_path();
    let mut known = Calibration::read(&path).unwrap_or_default();
    match measure(site, targets, say) {
        Ok(measured) => known.servers.extend(measured.servers),
        Err(error) => say(&format!("our machines were not measured: {error:#}")),
    }
    site.sleep(Duration::ZERO)?;
    known.write(&path)?;
    Ok(())
}

/// Measures `targets`. `say` hears what is going on. Values that cannot be measured are left out,
/// and `say` hears why.
///
/// # Errors
/// When the managers cannot be brought to rest or to work.
fn measure(
    site: &mut dyn Site,
    targets: &[String],
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Calibration> {
    let servers = site.servers();
    let mut calibration = Calibration::default();
    for target in servers
        .iter()
        .filter(|server| targets.contains(&server.name))
    {
        let name = &target.name;
        let others: Vec<SiteServer> = servers
            .iter()
            .filter(|server| server.name != *name)
            .cloned()
            .collect();
        let times = calibration.servers.entry(name.clone()).or_default();
        say(&format!("measuring {name}: bringing the managers to rest"));
        rest(site, &servers)?;
        let Some(beside) = others.last() else {
            bail!("{name} is the only server");
        };
        say(&format!(
            "trying the backup VM of {name} on {}",
            beside.name
        ));
        if let Err(error) = activations(site, &beside.name, name, times) {
            say(&format!("T_v of {name} is not known: {error:#}"));
        }
        say(&format!("setting all but {name} to work"));
        work(site, &others)?;
        match exam(site, &beside.name, target) {
            Ok(t_se) => times.service_exam = Some(t_se),
            Err(error) => say(&format!("T_se of {name} is not known: {error:#}")),
        }
        say(&format!(
            "restarting {name}, then starting it from power off"
        ));
        if let Err(error) = restart_and_start(site, target, times) {
            say(&format!(
                "T_tr and T_ts of {name} are not all known: {error:#}"
            ));
        }
    }
    Ok(calibration)
}

/// Clears every flag and waits until no server holds its VIP any more.
fn rest(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site::output(site, &server.name, &["ringward", "flag", "clear"], SMALL)?;
    }
    wait(site, REST_WITHIN, || {
        let state = RingState::look(site)?;
        let holds = |server: &&SiteServer| {
            let addresses = state.addresses.get(&server.name);
            addresses.is_some_and(|addresses| addresses.contains(&server.vip))
        };
        Ok(servers
            .iter()
            .find(holds)
            .map(|server| format!("{} holds its VIP", server.name)))
    })
    .context("bringing the managers to rest")
}

/// Makes a cluster of these servers, sets their flags and waits until they guard each other, and
/// have moved what was loaded for one of them on a server that is left out: that would slow its
/// start.
fn work(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    const SCRIPT: &str = r#"printf %s "$1" >/share/group && ringward data seal /share/group"#;
    let activation = site::settings(site)?.activation;
    let state = RingState::look(site)?;
    let of_theirs = |line: &&str| {
        let name = line.split_whitespace().nth(1);
        servers.iter().any(|s| name == Some(s.name.as_str()))
    };
    let lines = state.files.get("group").map_or("", String::as_str).lines();
    let group: String = lines.filter(of_theirs).map(|l| format!("{l}\n")).collect();
    let by = servers.first().context("no server is left to work")?;
    site::output(site, &by.name, &["sh", "-c", SCRIPT, "sh", &group], SMALL)?;
    for server in servers {
        site::output(site, &server.name, &["ringward", "flag", "set"], SMALL)?;
    }
    wait(site, RING_WITHIN, || {
        let state = RingState::look(site)?;
        let kept = state.standbys(servers);
        let waits = activation == Activation::Standby && kept < servers.len();
        let unkept = waits.then(|| format!("{kept} of {} golden states are loaded", servers.len()));
        Ok(state.irregular(servers).or(unkept))
    })
    .context("setting the managers to work")
}

/// T_se: the median of some examinations of all services of `target`, made from another server.
fn exam(site: &dyn Site, from: &str, target: &SiteServer) -> anyhow::Result<f64> {
    let ip = target.ip.to_string();
    let mut totals = Vec::new();
    for _ in 0..EXAMS {
        let mut total = 0.0;
        for daemon in &target.daemons {
            let service = daemon.service().to_string();
            let argv = [
                "ringward",
                "probe",
                &service,
                &ip,
                "--settings",
                "/share/cluster.toml",
            ];
            let said = site::output(site, from, &argv, SMALL)?;
            total += seconds_after(&said, "OK ").with_context(|| format!("no time in {said:?}"))?;
        }
        totals.push(total);
    }
    median(totals).context("no examination was made")
}

/// T_v in both ways, as `ringward backup verify` measures it.
fn activations(
    site: &dyn Site,
    host: &str,
    target: &str,
    times: &mut ServerTimes,
) -> anyhow::Result<()> {
    let argv = ["ringward", "backup", "verify", target];
    let said = site::output(site, host, &argv, VERIFY_WITHIN)?;
    let time = |way: &str| {
        let line = said.lines().find(|line| line.contains(way))?;
        seconds_after(line, ACTIVATED)
    };
    times.activation_restore = time("restored from the share");
    times.activation_standby = time("loaded and paused");
    if times.activation_restore.is_none() || times.activation_standby.is_none() {
        bail!("no times in {said:?}");
    }
    Ok(())
}

/// What stands before T_v in the words of `ringward backup verify`.
const ACTIVATED: &str = "serves after ";

/// The number after `words`, in front of " s".
fn seconds_after(text: &str, words: &str) -> Option<f64> {
    let (_, rest) = text.split_once(words)?;
    rest.split_once(" s")?.0.trim().parse().ok()
}

/// T_tr by a restart, then T_ts by an orderly shutdown and a start, both until the client gets
/// its first answer from the server's own address.
fn restart_and_start(
    site: &mut dyn Site,
    target: &SiteServer,
    times: &mut ServerTimes,
) -> anyhow::Result<()> {
    let itself = SiteServer {
        vip: target.ip,
        ..target.clone()
    };
    client::start(site, &itself, EVERY)?;
    let timed = restart_then_start(site, target, times);
    client::stop(site, &target.name)?;
    timed
}

fn restart_then_start(
    site: &mut dyn Site,
    target: &SiteServer,
    times: &mut ServerTimes,
) -> anyhow::Result<()> {
    let name = &target.name;
    wait(site, SMALL, || client::unserved(site, name))?;
    let ordered = client_clock(site)?;
    // The order may go unanswered: the machine is on its way down.
    let _ = site.exec(name, &["systemctl", "reboot"], SMALL);
    times.restart = Some(until_served(site, name, ordered)?);

    let _ = site.exec(name, &["systemctl", "poweroff"], SMALL);
    wait(site, OFF_WITHIN, || {
        Ok(site.is_on(name).then(|| format!("{name} is on")))
    })?;
    let ordered = client_clock(site)?;
    site.power(name, Switch::On)?;
    times.start = Some(until_served(site, name, ordered)?);
    Ok(())
}

/// Seconds from `since` (by the client's clock) until the outage then is over.
fn until_served(site: &dyn Site, server: &str, since: Duration) -> anyhow::Result<f64> {
    let mut served = None;
    let path = client::log_path(server);
    wait(site, BOOT_WITHIN, || {
        let text = site::output(site, node::CLIENT, &["cat", &path], SMALL)?;
        let accesses = access::parse(&text, site.now());
        served = access::outages(&accesses, since)
            .last()
            .map(|outage| outage.until);
        Ok(served
            .is_none()
            .then(|| format!("{server} does not answer the client")))
    })?;
    let served = served.context("the client was not served")?;
    Ok(served.saturating_sub(since).as_secs_f64())
}

/// What the client's clock says now.
fn client_clock(site: &dyn Site) -> anyhow::Result<Duration> {
    let said = site::output(site, node::CLIENT, &["date", "+%s.%N"], SMALL)?;
    let seconds = said
        .trim()
        .parse()
        .with_context(|| format!("{said:?} is no time"))?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}

/// Looks until there is no reason to go on waiting.
fn wait(
    site: &dyn Site,
    within: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<()> {
    let began = site.now();
    while let Some(reason) = look()? {
        if site.now().saturating_sub(began) > within {
            bail!("not within {} s: {reason}", within.as_secs());
        }
        site.sleep(LOOK_EVERY)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_agents_words() {
        let said = "ftpb: generation 1 of 2026-01-02 is whole\n\
                    ftpb: restored from the share: runs after 2.91 s, serves after 4.20 s\n\
                    ftpb: loaded and paused: runs after 0.08 s, serves after 0.61 s\n";
        let line = |way| said.lines().find(|line: &&str| line.contains(way)).unwrap();
        assert_eq!(seconds_after(line("restored"), ACTIVATED), Some(4.20));
        assert_eq!(seconds_after(line("loaded"), ACTIVATED), Some(0.61));
        assert_eq!(seconds_after("OK 0.062 s\n", "OK "), Some(0.062));
        assert_eq!(seconds_after("XX refused", "OK "), None);
    }
}
