//! The facts of a simulated cluster: its servers, and how long their machines take for things.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use ringward::cluster::{Group, ManagementData, Profile, ServerName, Settings};
use ringward::manage::Config;

/// The servers of the paper, in ring order, with their daemons and types.
const PAPER: [(&str, &str, &str); 6] = [
    ("mail", "postfix dovecot", "NETWORK"),
    ("web1", "apache2", "CPU_NET"),
    ("ftp", "vsftpd", "NETWORK"),
    ("web2", "apache2", "CPU_NET"),
    ("proxy", "squid", "NETWORK"),
    ("login", "ssh", "CPU"),
];

/// The most servers there are names and addresses for: a thousand, and a star's manager.
pub(super) const MOST: usize = 1001;

/// How long machines take.
#[derive(Debug, Clone)]
pub(super) struct Times {
    /// T_ts, from power on until the services answer.
    pub(super) start: Duration,
    /// T_tr, from the order to restart until they answer.
    pub(super) restart: Duration,
    /// T_v, from the order to activate a backup VM until its VIP is set.
    pub(super) activation: Duration,
    /// The same for one that is loaded and paused.
    pub(super) resume: Duration,
    /// To load a golden state.
    pub(super) load: Duration,
}

impl Times {
    /// Table 3 of the paper, and a machine a third as slow to go with the fast timings.
    pub(super) fn of(profile: Profile) -> Self {
        let seconds = Duration::from_secs_f64;
        let (start, restart, activation) = match profile {
            Profile::Paper => (56.67, 58.51, 4.67),
            Profile::Fast => (18.0, 19.0, 1.8),
        };
        Self {
            start: seconds(start),
            restart: seconds(restart),
            activation: seconds(activation),
            resume: seconds(0.9),
            load: seconds(14.0),
        }
    }
}

/// T_se of Table 3: how long a healthy service takes to be examined.
fn examination(server: &str) -> Duration {
    Duration::from_millis(match server {
        "ftp" => 60,
        "login" => 230,
        "mail" => 360,
        "proxy" => 590,
        "web1" | "web2" => 1590,
        _ => 100,
    })
}

/// Facts that do not change during a run. Servers are numbered from 0 in ring order.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) names: Vec<ServerName>,
    pub(super) settings: Settings,
    pub(super) times: Times,
    /// T_se of each server.
    pub(super) examination: Vec<Duration>,
    /// Memory of each backup VM, KB.
    pub(super) vm_memory_kb: u64,
    /// Memory that each server has for backup VMs, KB.
    pub(super) room_kb: Vec<u64>,
    base: Group,
    data: BTreeMap<ServerName, ManagementData>,
    index: BTreeMap<ServerName, usize>,
}

impl Cluster {
    /// A cluster of `n` servers, each with room for the backup VMs of all others.
    pub(super) fn new(n: usize, settings: Settings) -> anyhow::Result<Self> {
        anyhow::ensure!((1..=MOST).contains(&n), "{n} servers: expected 1 to {MOST}");
        let more = (PAPER.len() + 1..=n).map(|number| format!("s{number}"));
        let paper = PAPER.iter().take(n).map(|(name, ..)| (*name).to_owned());
        let names: Vec<String> = paper.chain(more).collect();
        Self::ordered(&names, settings)
    }

    /// A cluster of these servers in this order in the ring. Those that the paper has are what they
    /// are there, others are FTP servers.
    pub(super) fn ordered(names: &[String], settings: Settings) -> anyhow::Result<Self> {
        let n = names.len();
        let vm_memory_kb = 2048 * 1024;
        let mut cluster = Self {
            names: Vec::new(),
            times: Times::of(settings.profile),
            settings,
            examination: Vec::new(),
            vm_memory_kb,
            room_kb: vec![(u64::try_from(n)? + 1) * vm_memory_kb; n],
            base: Group::default(),
            data: BTreeMap::new(),
            index: BTreeMap::new(),
        };
        let mut group = String::new();
        for (at, name) in names.iter().enumerate() {
            let number = at + 1;
            let known = PAPER.iter().find(|(known, ..)| known == name);
            let (_, daemons, kind) = known.copied().unwrap_or(("", "vsftpd", "NETWORK"));
            let (high, low) = (number / 250, number % 250 + 1);
            let data = format!(
                "10.1.{high}.{low}\n{name}\n10.0.{high}.{low}\n00:00:00:00:{:02x}:{:02x}\n\
                 {daemons}\n{kind}\n{name}b\n10.2.{high}.{low}\n",
                number / 256,
                number % 256
            );
            let data = ManagementData::parse(&format!("{name}.dat"), &data)?;
            group.push_str(&format!("{number} {name} {name}.dat\n"));
            cluster.examination.push(examination(name));
            let name: ServerName = name.parse().map_err(anyhow::Error::msg)?;
            cluster.index.insert(name.clone(), at);
            cluster.data.insert(name.clone(), data);
            cluster.names.push(name);
        }
        cluster.base = Group::parse("group", &group)?;
        Ok(cluster)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of a server.
    pub(super) fn find(&self, name: &ServerName) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The number of a server that a person named; the share comes after the last.
    pub(super) fn find_text(&self, name: &str) -> anyhow::Result<usize> {
        if name == "share" {
            return Ok(self.len());
        }
        let at = self.names.iter().position(|known| known.as_str() == name);
        at.with_context(|| {
            let known: Vec<&str> = self.names.iter().map(ServerName::as_str).collect();
            format!("{name:?} is no server here (share, {})", known.join(", "))
        })
    }

    /// The name of a server, or of the share.
    pub(super) fn name(&self, at: usize) -> &str {
        self.names.get(at).map_or("share", ServerName::as_str)
    }

    /// The server with this hardware address.
    pub(super) fn by_mac(&self, mac: ringward::cluster::Mac) -> Option<usize> {
        let found = self.data.iter().find(|(_, data)| data.mac == mac);
        found.and_then(|(name, _)| self.find(name))
    }

    /// What the agent of a server knows at its start.
    pub(super) fn config(&self, me: usize, boot: u64) -> Config {
        let need = |name: &ServerName| (name.clone(), self.vm_memory_kb);
        Config {
            me: self.names[me].clone(),
            base: self.base.clone(),
            data: self.data.clone(),
            settings: self.settings.clone(),
            vm_memory_kb: self.names.iter().map(need).collect(),
            boot,
        }
    }
}
