//! A scenario: a cluster, and what befalls it when. Files of them read as documentation.
//!
//! ```toml
//! title = "Nt2: a server is shut down"
//! shows = "Its function goes on in a backup VM; the server is woken and gets it back."
//! servers = 6
//! faults = [
//!   { at = 25.0, fault = "power-off", server = "ftp" },
//! ]
//! until = 250.0
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use ringward::cluster::{Activation, Profile, Settings, Timings, Topology};
use ringward::manage::Now;
use serde::Deserialize;

use super::cluster::Cluster;
use super::fault::{Fault, HEAL, NETWORK, OnServer, OnShare, OnWay, PARTITION, SHARE_SLOW, Timed};
use super::network::Weather;
use super::play::Ends;

/// The longest a scenario may be, seconds.
const LONGEST: f64 = 30.0 * 86_400.0;

/// A cluster, and what befalls it when.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, for people.
    pub title: String,
    /// One sentence: what it shows.
    pub shows: String,
    /// How many servers.
    pub servers: usize,
    /// The timings to start from.
    pub profile: Profile,
    /// Who manages whom.
    pub topology: Topology,
    /// How backup VMs are activated.
    pub activation: Activation,
    /// What loss, delay and the like are drawn from.
    pub seed: u64,
    /// Memory for backup VMs of some servers, MB; the others have room for all.
    pub room_mb: BTreeMap<usize, u64>,
    /// What befalls it, seconds after the start.
    pub faults: Vec<(f64, Fault)>,
    /// When it ends, seconds after the start.
    pub until: f64,
    /// How it must end.
    pub ends: Ends,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    shows: String,
    servers: usize,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    topology: Topology,
    #[serde(default = "restore")]
    activation: Activation,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    room_mb: BTreeMap<String, u64>,
    #[serde(default)]
    faults: Vec<Step>,
    until: f64,
    #[serde(default)]
    ends: Ends,
}

fn restore() -> Activation {
    Activation::Restore
}

fn one() -> u64 {
    1
}

/// A fault as a file has it: which words go with which is looked at afterwards.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: f64,
    fault: String,
    server: Option<String>,
    peer: Option<String>,
    servers: Option<Vec<String>>,
    seconds: Option<f64>,
    delay_ms: Option<u32>,
    jitter_ms: Option<u32>,
    loss: Option<u32>,
    duplicate: Option<u32>,
}

impl Scenario {
    /// Reads a scenario file; `file` only names it in errors.
    ///
    /// # Errors
    /// What is wrong in which fault, and what was expected.
    pub fn parse(file: &str, text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).with_context(|| file.to_owned())?;
        let good = file.until.is_finite() && (0.0..=LONGEST).contains(&file.until);
        ensure!(
            good,
            "until = {}: expected seconds up to {LONGEST}",
            file.until
        );
        let cluster = Cluster::new(
            file.servers,
            settings(file.profile, file.topology, file.activation),
        )?;
        let mut faults = Vec::new();
        for (at, step) in file.faults.into_iter().enumerate() {
            let moment = step.at;
            let fault = step
                .read(&cluster)
                .with_context(|| format!("fault {}", at + 1))?;
            faults.push((moment, fault));
        }
        let mut room_mb = BTreeMap::new();
        for (server, room) in file.room_mb {
            let at = cluster.find_text(&server).context("room_mb")?;
            ensure!(at < cluster.len(), "room_mb: the share runs no VMs");
            room_mb.insert(at, room);
        }
        Ok(Self {
            title: file.title,
            shows: file.shows,
            servers: file.servers,
            profile: file.profile,
            topology: file.topology,
            activation: file.activation,
            seed: file.seed,
            room_mb,
            faults,
            until: file.until,
            ends: file.ends,
        })
    }

    /// The cluster it is about.
    ///
    /// # Errors
    /// More servers than there can be, or none.
    pub(super) fn cluster(&self) -> anyhow::Result<Cluster> {
        let settings = settings(self.profile, self.topology, self.activation);
        let mut cluster = Cluster::new(self.servers, settings)?;
        for (server, room) in &self.room_mb {
            cluster.room_kb[*server] = room * 1024;
        }
        Ok(cluster)
    }

    /// As a file that [`Self::parse`] reads.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn to_toml(&self) -> anyhow::Result<String> {
        let cluster = self.cluster()?;
        let name = |at: usize| cluster.name(at).to_owned();
        let mut text = format!("title = {:?}\nshows = {:?}\n", self.title, self.shows);
        text.push_str(&format!("servers = {}\n", self.servers));
        if self.profile != Profile::default() {
            text.push_str(&format!("profile = \"{}\"\n", self.profile));
        }
        if self.topology == Topology::Star {
            text.push_str("topology = \"star\"\n");
        }
        if self.activation == Activation::Standby {
            text.push_str("activation = \"standby\"\n");
        }
        if self.seed != 1 {
            text.push_str(&format!("seed = {}\n", self.seed));
        }
        if !self.room_mb.is_empty() {
            let rooms = self.room_mb.iter();
            let rooms: Vec<String> = rooms
                .map(|(at, mb)| format!("{} = {mb}", name(*at)))
                .collect();
            text.push_str(&format!("room_mb = {{ {} }}\n", rooms.join(", ")));
        }
        text.push_str("faults = [\n");
        for (at, fault) in &self.faults {
            text.push_str(&format!("  {{ at = {at:?}, {} }},\n", fault.to_toml(name)));
        }
        text.push_str(&format!("]\nuntil = {:?}\n", self.until));
        if self.ends == Ends::Anyhow {
            text.push_str("ends = \"anyhow\"\n");
        }
        Ok(text)
    }
}

pub(super) fn settings(profile: Profile, topology: Topology, activation: Activation) -> Settings {
    Settings {
        profile,
        topology,
        activation,
        timings: Timings::profile(profile),
        ..Settings::default()
    }
}

/// A moment so many seconds after the start.
pub(super) fn moment(seconds: f64) -> Now {
    Now(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

impl Step {
    fn read(mut self, cluster: &Cluster) -> anyhow::Result<Fault> {
        let good = self.at.is_finite() && (0.0..=LONGEST).contains(&self.at);
        ensure!(good, "at = {}: expected seconds up to {LONGEST}", self.at);
        let fault = self.fault(cluster)?;
        let word = &self.fault;
        let left = [
            ("server", self.server.is_some()),
            ("peer", self.peer.is_some()),
            ("servers", self.servers.is_some()),
            ("seconds", self.seconds.is_some()),
            ("delay_ms", self.delay_ms.is_some()),
            ("jitter_ms", self.jitter_ms.is_some()),
            ("loss", self.loss.is_some()),
            ("duplicate", self.duplicate.is_some()),
        ];
        if let Some((left, _)) = left.iter().find(|(_, left)| *left) {
            bail!("{word} has no {left}");
        }
        Ok(fault)
    }

    fn fault(&mut self, cluster: &Cluster) -> anyhow::Result<Fault> {
        let word = self.fault.clone();
        if let Some(what) = OnServer::ALL.iter().find(|what| what.word() == word) {
            return Ok(Fault::Server(*what, self.server(cluster)?));
        }
        if let Some(what) = Timed::ALL.iter().find(|what| what.word() == word) {
            return Ok(Fault::Timed(*what, self.server(cluster)?, self.seconds()?));
        }
        if let Some(what) = OnShare::ALL.iter().find(|what| what.word() == word) {
            return Ok(Fault::Share(*what));
        }
        if let Some(what) = OnWay::ALL.iter().find(|what| what.word() == word) {
            let server = self
                .server
                .take()
                .with_context(|| format!("{word} has no server"))?;
            let peer = self
                .peer
                .take()
                .with_context(|| format!("{word} has no peer"))?;
            let (a, b) = (cluster.find_text(&server)?, cluster.find_text(&peer)?);
            return Ok(Fault::Way(*what, a, b));
        }
        match word.as_str() {
            PARTITION => {
                let side = self
                    .servers
                    .take()
                    .with_context(|| format!("{word} has no servers"))?;
                let side = side.iter().map(|name| cluster.find_text(name));
                Ok(Fault::Partition(side.collect::<anyhow::Result<_>>()?))
            }
            NETWORK => Ok(Fault::Network(Weather {
                delay_ms: self.delay_ms.take().unwrap_or(0),
                jitter_ms: self.jitter_ms.take().unwrap_or(0),
                loss: per_mille("loss", self.loss.take())?,
                duplicate: per_mille("duplicate", self.duplicate.take())?,
            })),
            SHARE_SLOW => Ok(Fault::ShareSlow(self.seconds()?)),
            HEAL => Ok(Fault::Heal),
            _ => bail!("{word:?} is no fault; there are {}", words().join(", ")),
        }
    }

    fn server(&mut self, cluster: &Cluster) -> anyhow::Result<usize> {
        let word = &self.fault;
        let server = self
            .server
            .take()
            .with_context(|| format!("{word} has no server"))?;
        let at = cluster.find_text(&server)?;
        ensure!(at < cluster.len(), "{word} does not befall the share");
        Ok(at)
    }

    fn seconds(&mut self) -> anyhow::Result<f64> {
        let word = &self.fault;
        let seconds = self
            .seconds
            .take()
            .with_context(|| format!("{word} has no seconds"))?;
        let good = seconds.is_finite() && (0.0..=86_400.0).contains(&seconds);
        ensure!(good, "seconds = {seconds}: expected 0 to 86400");
        Ok(seconds)
    }
}

fn per_mille(what: &str, value: Option<u32>) -> anyhow::Result<u32> {
    let value = value.unwrap_or(0);
    ensure!(
        value <= 1000,
        "{what} = {value}: expected per mille, 0 to 1000"
    );
    Ok(value)
}

/// All words for faults.
fn words() -> Vec<&'static str> {
    let mut words: Vec<&str> = OnServer::ALL.iter().map(|what| what.word()).collect();
    words.extend(Timed::ALL.iter().map(|what| what.word()));
    words.extend(OnWay::ALL.iter().map(|what| what.word()));
    words.extend(OnShare::ALL.iter().map(|what| what.word()));
    words.extend([PARTITION, NETWORK, SHARE_SLOW, HEAL]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const NT2: &str = "title = \"t\"\nshows = \"s\"\nservers = 6\nuntil = 9.0\n";

    #[test]
    fn a_file_that_is_written_reads_back() {
        let text = format!(
            "{NT2}seed = 3\nroom_mb = {{ ftp = 100 }}\nends = \"anyhow\"\nprofile = \"fast\"\n\
             topology = \"star\"\nactivation = \"standby\"\nfaults = [\n\
             {{ at = 1.0, fault = \"power-off\", server = \"ftp\" }},\n\
             {{ at = 1.5, fault = \"late\", server = \"ftp\", seconds = 2.5 }},\n\
             {{ at = 2.0, fault = \"cut-one-way\", server = \"ftp\", peer = \"share\" }},\n\
             {{ at = 3.0, fault = \"partition\", servers = [\"ftp\", \"share\"] }},\n\
             {{ at = 4.0, fault = \"network\", loss = 20, jitter_ms = 5 }},\n\
             {{ at = 5.0, fault = \"share-slow\", seconds = 0.5 }},\n\
             {{ at = 6.0, fault = \"share-hang\" }},\n{{ at = 7.0, fault = \"heal\" }},\n]\n"
        );
        let scenario = Scenario::parse("x.toml", &text).unwrap();
        let again = Scenario::parse("y.toml", &scenario.to_toml().unwrap()).unwrap();
        assert_eq!(scenario, again);
        assert_eq!(scenario.faults.len(), 8);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |fault: &str| {
            let text = format!("{NT2}faults = [{{ at = 1.0, {fault} }}]\n");
            format!("{:#}", Scenario::parse("x.toml", &text).unwrap_err())
        };
        let unknown = error("fault = \"fire\"");
        assert!(unknown.starts_with("fault 1: \"fire\" is no fault; there are power-off, "));
        assert_eq!(error("fault = \"freeze\""), "fault 1: freeze has no server");
        let server = error("fault = \"freeze\", server = \"x\"");
        assert_eq!(
            server,
            "fault 1: \"x\" is no server here (share, mail, web1, ftp, web2, proxy, login)"
        );
        let more = error("fault = \"freeze\", server = \"ftp\", seconds = 1.0");
        assert_eq!(more, "fault 1: freeze has no seconds");
        let loss = error("fault = \"network\", loss = 2000");
        assert_eq!(loss, "fault 1: loss = 2000: expected per mille, 0 to 1000");
    }
}
