//! Measures what our machines are like, as the paper's Table 3 does for its own.
//!
//! A backup VM is tried while all managers are at rest: their flags are cleared. The rest is measured
//! in the whole cluster at work, with a client at the function, as in a run: a server that shares its
//! processors with others starts as slowly there as it will then. The site must be prepared anew
//! afterwards.

use super::client;
use super::fault;
use super::follow::Follower;
use super::ring::RingState;
use super::site::{self, Site, SiteServer, Switch, node};
use super::spec::TroubleKind;
use crate::report::calibration::{Calibration, ServerTimes};
use crate::report::figures::median;
use crate::report::story::Entry;
use anyhow::{Context, bail};
use ringward::cluster::Activation;
use ringward::manage::event::Event;
use std::time::Duration;

const SMALL: Duration = Duration::from_secs(60);
/// Until every server has let its VIP go.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Until the servers that are set to work are a ring at rest.
const RING_WITHIN: Duration = Duration::from_secs(180);
/// A boot of an emulated server takes 10-60 s; it may be taken for dead meanwhile.
const HOME_WITHIN: Duration = Duration::from_secs(400);
const OFF_WITHIN: Duration = Duration::from_secs(120);
/// Restores a VM twice and examines it twice.
const VERIFY_WITHIN: Duration = Duration::from_secs(300);
/// Interval of the accesses that a start is timed with.
const EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Examinations that T_se is the median of.
const EXAMS: usize = 5;

/// What is known about the site's machines; nothing before it is prepared.
///
/// # Errors
/// When what is kept cannot be read.
pub fn kept(site: &dyn Site) -> anyhow::Result<Calibration> {
    let path = site.calibration_path()?;
    let kept = path.as_deref().map(Calibration::kept).transpose()?;
    Ok(kept.unwrap_or_default())
}

/// Whether figures about some of `targets` are lacking.
#[must_use]
pub fn is_due(known: &Calibration, targets: &[String]) -> bool {
    let is_known = |target| known.servers.get(target).is_some_and(ServerTimes::is_whole);
    !targets.iter().all(is_known)
}

/// Measures `targets` and keeps the figures beside those `known` of other servers. What
/// cannot be measured is said and left out. The site must be prepared anew afterwards.
///
/// # Errors
/// When the figures cannot be kept, or the operator interrupts.
pub fn measure_and_keep(
    site: &mut dyn Site,
    mut known: Calibration,
    targets: &[String],
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let path = site
        .calibration_path()?
        .context("measuring machines that are not prepared")?;
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
        let times = calibration.servers.entry(name.clone()).or_default();
        say(&format!("measuring {name}: bringing the managers to rest"));
        rest(site, &servers)?;
        let beside = servers.iter().rfind(|server| server.name != *name);
        let beside = &beside.context("there is only one server")?.name;
        say(&format!("trying the backup VM of {name} on {beside}"));
        if let Err(error) = activations(site, beside, name, times) {
            say(&format!("T_v of {name} is not known: {error:#}"));
        }
        say("setting the managers to work");
        work(site, &servers)?;
        match exam(site, beside, target) {
            Ok(t_se) => times.service_exam = Some(t_se),
            Err(error) => say(&format!("T_se of {name} is not known: {error:#}")),
        }
        say(&format!(
            "starting {name} from power off, then restarting it"
        ));
        if let Err(error) = start_and_restart(site, target, times) {
            say(&format!(
                "T_ts and T_tr of {name} are not all known: {error:#}"
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

/// Sets all flags and waits for a ring at rest.
fn work(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site::output(site, &server.name, &["ringward", "flag", "set"], SMALL)?;
    }
    wait(site, RING_WITHIN, || {
        Ok(RingState::look(site)?.irregular(servers))
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

/// T_v in both ways, as `ringward backup verify` measures it. The state that it tried is loaded again
/// where the cluster is to find it.
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
    if site::settings(site)?.activation == Activation::Standby {
        let argv = ["ringward", "backup", "load", target];
        site::output(site, host, &argv, VERIFY_WITHIN)?;
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

/// T_ts by a shutdown and a start, then T_tr by a restart, both until the function is at home again,
/// which is where a recovery ends too.
fn start_and_restart(
    site: &mut dyn Site,
    target: &SiteServer,
    times: &mut ServerTimes,
) -> anyhow::Result<()> {
    client::start(site, target, EVERY)?;
    let timed = start_then_restart(site, target, times);
    client::stop(site, &target.name)?;
    timed
}

fn start_then_restart(
    site: &mut dyn Site,
    target: &SiteServer,
    times: &mut ServerTimes,
) -> anyhow::Result<()> {
    let name = &target.name;
    wait(site, SMALL, || client::unserved(site, name))?;
    let mut logs = Follower::start(site)?;
    fault::strike(site, TroubleKind::Nt2, target)?;
    wait(site, OFF_WITHIN, || {
        Ok(site.is_on(name).then(|| format!("{name} is on")))
    })?;
    // As in a recovery: the backup VM serves by the time its owner is woken.
    wait(site, SMALL, || client::unserved(site, name))?;
    let ordered = client_clock(site)?;
    site.power(name, Switch::On)?;
    times.start = Some(until_home(site, &mut logs, name, ordered)?);

    // Managers that start anew remember no fault: after a second one a function is held back.
    let servers = site.servers();
    rest(site, &servers)?;
    work(site, &servers)?;
    wait(site, SMALL, || client::unserved(site, name))?;
    let ordered = client_clock(site)?;
    fault::strike(site, TroubleKind::Nt1, target)?;
    times.restart = Some(until_home(site, &mut logs, name, ordered)?);
    Ok(())
}

/// Seconds from `since` (by the client's clock) until a manager gave the function back.
fn until_home(
    site: &dyn Site,
    logs: &mut Follower,
    server: &str,
    since: Duration,
) -> anyhow::Result<f64> {
    let mut home = None;
    wait(site, HOME_WITHIN, || {
        let is_it = |(_, entry): &(String, Entry)| {
            let recovered = matches!(&entry.event, Event::TargetRecovered { target, .. } if target.as_str() == server);
            recovered && entry.at > since
        };
        home = home.or(logs.poll(site)?.into_iter().find(is_it).map(|(_, e)| e.at));
        Ok(home.is_none().then(|| format!("{server} is not at home")))
    })?;
    let home = home.context("it did not come home")?;
    Ok(home.saturating_sub(since).as_secs_f64())
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
