//! Measures what our machines are like, as the paper's Table 3 does for its own.
//!
//! A backup VM is tried while all managers are at rest and no server keeps one loaded. The rest is measured
//! in the whole cluster at work, with a client at the function, as in a run: a server that shares its
//! processors with others starts as slowly there as it will then. The site must be prepared anew
//! afterwards.

use super::atrest::{rest, unload, wait, work};
use super::client;
use super::conditions;
use super::fault;
use super::follow::Follower;
use super::site::{self, Site, SiteServer, Switch, node};
use super::spec::{Experiment, Survey, TroubleKind, Until};
use crate::report::calibration::{Calibration, ServerTimes};
use crate::report::figures::median;
use crate::report::story::Entry;
use anyhow::{Context, bail};
use ringward::cluster::Activation;
use ringward::manage::event::Event;
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Value;

const SMALL: Duration = Duration::from_secs(60);
/// A boot of an emulated server takes 10-60 s; it may be taken for dead meanwhile.
const HOME_WITHIN: Duration = Duration::from_secs(400);
const OFF_WITHIN: Duration = Duration::from_secs(120);
/// Restores a VM twice and examines it twice.
const VERIFY_WITHIN: Duration = Duration::from_secs(300);
/// Interval of the accesses that a start is timed with.
const EVERY: Duration = Duration::from_millis(100);
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

/// What must be known of a server beside T_se, which always must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// T_v, in both ways.
    pub activation: bool,
    /// T_ts.
    pub start: bool,
    /// T_tr.
    pub restart: bool,
    /// Start of its backup VM that was not suspended.
    pub cold_start: bool,
}

/// What must be known, by server.
pub type Needs = BTreeMap<String, Need>;

/// The server whose start and restart stand for all in Table 3: the paper's target.
const OF_ALL: &str = "ftp";

/// What the equations of some experiments need, and the table of what the machines are like.
#[must_use]
pub fn needs(experiments: &[Experiment], servers: &[&str]) -> Needs {
    let mut needs = Needs::new();
    for experiment in experiments {
        if experiment.survey == Some(Survey::Machines) {
            for server in servers {
                let need = needs.entry((*server).to_owned()).or_default();
                need.activation = true;
                if *server == OF_ALL {
                    (need.start, need.restart, need.cold_start) = (true, true, true);
                }
            }
        }
        let awaited = experiment.until == Until::Home;
        for strike in &experiment.strikes {
            let need = needs.entry(strike.server.clone()).or_default();
            need.activation |= strike.trouble.needs_backup();
            match strike.trouble {
                TroubleKind::St1 => {}
                TroubleKind::St2 | TroubleKind::Nt1 => need.restart |= awaited,
                TroubleKind::Nt2 | TroubleKind::Cut | TroubleKind::Dead | TroubleKind::Freeze => {
                    need.start |= awaited
                }
            }
        }
    }
    needs
}

/// What of `needs` is not `known`.
#[must_use]
pub fn lacking(known: &Calibration, needs: &Needs) -> Needs {
    let lacks = |(server, need): (&String, &Need)| {
        let of = known.servers.get(server).copied().unwrap_or_default();
        let activated = of.activation_standby.and(of.activation_restore);
        let left = Need {
            activation: need.activation && activated.is_none(),
            start: need.start && of.start.is_none(),
            restart: need.restart && of.restart.is_none(),
            cold_start: need.cold_start && of.vm_cold_start.is_none(),
        };
        (left != Need::default() || of.service_exam.is_none()).then(|| (server.clone(), left))
    };
    needs.iter().filter_map(lacks).collect()
}

/// Measures what is `lacking` and keeps it beside what is `known`. What cannot be measured is said
/// and left out. The site must be prepared anew afterwards.
///
/// # Errors
/// When the figures cannot be kept, or the operator interrupts.
pub fn measure_and_keep(
    site: &mut dyn Site,
    mut known: Calibration,
    lacking: &Needs,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let path = site
        .calibration_path()?
        .context("measuring machines that are not prepared")?;
    if let Err(error) = measure(site, &mut known, lacking, say) {
        say(&format!("our machines were not all measured: {error:#}"));
    }
    site.sleep(Duration::ZERO)?;
    known.write(&path)?;
    Ok(())
}

/// Measures what is `lacking`, all backup VMs first, while the managers are at rest. `say` hears what
/// is going on. Values that cannot be measured are left out, and `say` hears why.
///
/// # Errors
/// When the managers cannot be set to work or brought to rest.
fn measure(
    site: &mut dyn Site,
    calibration: &mut Calibration,
    lacking: &Needs,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let servers = site.servers();
    let targets = servers.iter();
    let targets = targets.filter_map(|server| Some((server, *lacking.get(&server.name)?)));
    let targets: Vec<(&SiteServer, Need)> = targets.collect();
    // Half way round the ring, so that no host has more VMs than another.
    let beside = |name: &str| {
        let at = servers.iter().position(|server| server.name == name);
        let other = (at.unwrap_or(0) + servers.len().div_ceil(2)) % servers.len();
        &servers[other].name
    };
    if targets
        .iter()
        .any(|(_, need)| need.activation || need.cold_start)
    {
        say("unloading golden states, to try them");
        unload(site, &servers)?;
        let settings = pages_at_home(site, &servers)?;
        for (target, need) in &targets {
            let (name, host) = (&target.name, beside(&target.name));
            let times = calibration.servers.entry(name.clone()).or_default();
            if need.cold_start {
                say(&format!("booting the backup VM of {name} on {host}"));
                match cold_start(site, host, name) {
                    Ok(time) => times.vm_cold_start = Some(time),
                    Err(error) => say(&format!("its cold start is not known: {error:#}")),
                }
            }
            if need.activation {
                say(&format!("trying the backup VM of {name} on {host}"));
                let tried = activations(site, host, name, times);
                if let Err(error) = tried.and_then(|()| load_again(site, host, name)) {
                    say(&format!("T_v of {name} is not known: {error:#}"));
                }
            }
        }
        conditions::put_back(site, &settings)?;
    }
    say("setting the managers to work");
    work(site, &servers)?;
    if let (None, Some((target, _))) = (calibration.network_exam, targets.first()) {
        match exam_of(site, beside(&target.name), "ping", target) {
            Ok(time) => calibration.network_exam = Some(time),
            Err(error) => say(&format!("the network examination is not known: {error:#}")),
        }
    }
    for (target, need) in targets {
        let name = &target.name;
        let times = calibration.servers.entry(name.clone()).or_default();
        say(&format!("measuring {name}"));
        match exam(site, beside(name), target) {
            Ok(t_se) => times.service_exam = Some(t_se),
            Err(error) => say(&format!("T_se of {name} is not known: {error:#}")),
        }
        if need.start {
            say(&format!("starting {name} from power off"));
            match watched(site, target, start) {
                Ok(t_ts) => times.start = Some(t_ts),
                Err(error) => say(&format!("T_ts of {name} is not known: {error:#}")),
            }
        }
        if need.restart {
            // Managers that start anew remember no fault: after a second one a function is held back.
            rest(site, &servers)?;
            work(site, &servers)?;
            say(&format!("restarting {name}"));
            match watched(site, target, restart) {
                Ok(t_tr) => times.restart = Some(t_tr),
                Err(error) => say(&format!("T_tr of {name} is not known: {error:#}")),
            }
        }
    }
    Ok(())
}

/// While the managers are at rest no VIP is there to fetch a page from: the proxy is examined with the
/// web servers' own addresses. Gives the settings as they were.
fn pages_at_home(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<String> {
    conditions::edit(site, |settings| {
        let probe = settings.get_mut("probe").and_then(Value::as_table_mut);
        let url = probe.and_then(|probe| probe.get_mut("proxy_url"));
        if let Some(Value::String(url)) = url {
            for server in servers {
                *url = url.replace(&format!("//{}/", server.vip), &format!("//{}/", server.ip));
            }
        }
        Ok(())
    })
}

/// How long the backup VM takes to serve when it is booted instead of resumed. What it was booted for, a
/// new golden state, replaces the old one.
fn cold_start(site: &dyn Site, host: &str, target: &str) -> anyhow::Result<f64> {
    let argv = ["ringward", "backup", "prepare", target];
    let said = site::output(site, host, &argv, VERIFY_WITHIN)?;
    let line = said.lines().find(|line| line.contains(ANSWERS));
    let line = line.with_context(|| format!("no time in {said:?}"))?;
    seconds_after(line, ANSWERS).with_context(|| format!("no time in {line:?}"))
}

/// T_se: all services of `target`, examined from another server.
fn exam(site: &dyn Site, from: &str, target: &SiteServer) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for daemon in &target.daemons {
        total += exam_of(site, from, &daemon.service().to_string(), target)?;
    }
    Ok(total)
}

/// The median of some examinations of one service, or of the network.
fn exam_of(site: &dyn Site, from: &str, what: &str, target: &SiteServer) -> anyhow::Result<f64> {
    let ip = target.ip.to_string();
    let settings = ["--settings", "/share/cluster.toml"];
    let argv = [&["ringward", "probe", what, &ip], &settings[..]].concat();
    let mut times = Vec::new();
    for _ in 0..EXAMS {
        let said = site::output(site, from, &argv, SMALL)?;
        let time = seconds_after(&said, "OK ");
        times.push(time.with_context(|| format!("no time in {said:?}"))?);
    }
    median(times).context("no examination was made")
}

/// T_v in both ways, as `ringward backup verify` measures it. The state is not loaded
/// afterwards.
pub(super) fn activations(
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

/// Loads the state that was tried again, where the cluster is to find it.
fn load_again(site: &dyn Site, host: &str, target: &str) -> anyhow::Result<()> {
    if site::settings(site)?.activation == Activation::Standby {
        let argv = ["ringward", "backup", "load", target];
        site::output(site, host, &argv, VERIFY_WITHIN)?;
    }
    Ok(())
}

/// What stands before T_v in the words of `ringward backup verify`.
const ACTIVATED: &str = "serves after ";
/// And before the cold start in those of `ringward backup prepare`.
const ANSWERS: &str = "answers after ";

/// The number after `words`, in front of " s".
fn seconds_after(text: &str, words: &str) -> Option<f64> {
    let (_, rest) = text.split_once(words)?;
    rest.split_once(" s")?.0.trim().parse().ok()
}

/// Times something with a client at the function, as in a run.
fn watched(
    site: &mut dyn Site,
    target: &SiteServer,
    time: fn(&mut dyn Site, &SiteServer) -> anyhow::Result<f64>,
) -> anyhow::Result<f64> {
    client::start(site, target, EVERY)?;
    let timed = wait(site, SMALL, || client::unserved(site, &target.name))
        .and_then(|()| time(site, target));
    client::stop(site, &target.name)?;
    timed
}

/// T_ts by a shutdown and a start, until the function is at home again, which is where a recovery
/// ends too.
fn start(site: &mut dyn Site, target: &SiteServer) -> anyhow::Result<f64> {
    let name = &target.name;
    let mut logs = Follower::start(site)?;
    fault::strike(site, TroubleKind::Nt2, target)?;
    wait(site, OFF_WITHIN, || {
        Ok(site.is_on(name).then(|| format!("{name} is on")))
    })?;
    // As in a recovery: the backup VM serves by the time its owner is woken.
    wait(site, SMALL, || client::unserved(site, name))?;
    let ordered = client_clock(site)?;
    site.power(name, Switch::On)?;
    until_home(site, &mut logs, name, ordered)
}

/// T_tr by a restart, until the same.
fn restart(site: &mut dyn Site, target: &SiteServer) -> anyhow::Result<f64> {
    let mut logs = Follower::start(site)?;
    let ordered = client_clock(site)?;
    fault::strike(site, TroubleKind::Nt1, target)?;
    until_home(site, &mut logs, &target.name, ordered)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::catalogue;
    use crate::report::calibration::tests::calibration;

    #[test]
    fn only_what_an_equation_needs_is_measured() {
        let needs = |name| {
            let experiments = catalogue::find(name, &catalogue::tests::SERVERS).unwrap();
            needs(&experiments, &catalogue::tests::SERVERS)
        };
        let one = |name| needs(name)["ftp"];
        let vm = Need {
            activation: true,
            ..Need::default()
        };
        assert_eq!(one("fig13/st1"), Need::default());
        assert_eq!(one("nt2"), Need { start: true, ..vm });
        assert_eq!(
            one("nt1"),
            Need {
                restart: true,
                ..vm
            }
        );
        assert_eq!(one("fig14/nt1-nt2"), vm);
        let all = needs("fig15");
        assert_eq!(all.len(), 3);
        // The sample has all of FTP.
        let left = lacking(&calibration(), &all);
        assert_eq!(left.keys().collect::<Vec<_>>(), ["mail", "web1"]);
        assert!(lacking(&calibration(), &needs("fig13")).is_empty());
        let none = lacking(&Calibration::default(), &needs("st1"));
        assert_eq!(none["ftp"], Need::default(), "T_se is always needed");
    }

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
