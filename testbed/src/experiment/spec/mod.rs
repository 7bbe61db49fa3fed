//! An experiment as data: what breaks, when, and what is read off.
//!
//! One TOML file an experiment of the paper, with its cases; `file` reads it, `check` refuses what cannot be
//! carried out.

mod check;
mod file;

pub use file::SpecError;

use ringward::cluster::{Activation, Profile, Topology};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The paper's four kinds of trouble (section 4.3), and three more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TroubleKind {
    /// The service stops; restarting its program cures it.
    St1,
    /// The service stops; only restarting the server cures it.
    St2,
    /// The server is restarted on purpose.
    Nt1,
    /// The server is shut down.
    Nt2,
    /// The server's power fails. It starts when it is woken, as after [`Self::Nt2`].
    Cut,
    /// The same for good: nothing wakes it.
    Dead,
    /// The server stands still and keeps its power: nothing wakes it.
    Freeze,
}

impl TroubleKind {
    /// The paper's, in the order of Fig. 13.
    pub const PAPER: [Self; 4] = [Self::St1, Self::St2, Self::Nt1, Self::Nt2];

    /// True when the function moves to a backup VM on the way to recovery.
    #[must_use]
    pub fn needs_backup(self) -> bool {
        self != Self::St1
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// When the trouble strikes, counted from an S message that starts an examination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// The interval T_im divided by this number (the paper: 2).
    IntervalOver(f64),
    /// A fixed time.
    After(Duration),
}

impl Moment {
    /// The wait after the S message for an interval of `t_im`.
    #[must_use]
    pub fn after_s(self, t_im: Duration) -> Duration {
        match self {
            Self::IntervalOver(parts) => t_im.div_f64(parts),
            Self::After(wait) => wait,
        }
    }
}

/// A time that is read off the logs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Recovery of the server function by the backup VM.
    Function,
    /// Recovery of the target server.
    Target,
    /// Access disconnection of a client.
    Disconnection,
    /// Activation of the backup VM, T_v.
    Activation,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Every function is served again; the targets are not awaited.
    Function,
    /// Every target is back and the ring as at the start.
    #[default]
    Home,
}

/// What befalls a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Strike {
    /// Which.
    pub server: String,
    /// What.
    pub trouble: TroubleKind,
}

/// What befalls one more server once the functions are recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Then {
    /// Which.
    #[serde(flatten)]
    pub whom: Whom,
    /// What.
    pub trouble: TroubleKind,
}

/// The server that is struck later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The one of this name.
    Server(String),
    /// The one that hosts the backup VM of this server by then.
    HostOf(String),
}

/// What a case changes of the cluster before anything strikes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// How backup VMs are activated, if not by default.
    pub activation: Option<Activation>,
    /// Who manages whom, if not by default.
    pub topology: Option<Topology>,
    /// Memory stress, by server: how much is taken, of [`PAPERS_MEMORY_MB`].
    pub stress: BTreeMap<String, u32>,
}

/// Memory of the paper's servers (Table 3). Ours have less, and stress takes the same part of it.
pub const PAPERS_MEMORY_MB: u32 = 8192;

impl Conditions {
    /// Whether the cluster must be set up anew for them.
    #[must_use]
    pub fn change_settings(&self) -> bool {
        self.activation.is_some() || self.topology.is_some()
    }
}

/// What is measured on machines that nothing befalls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Survey {
    /// What the machines are like (Table 3).
    Machines,
    /// T_v of a backup VM on a busy host (Fig. 16).
    Activation {
        /// The server whose function the VM takes over.
        of: String,
        /// Where it starts.
        on: String,
        /// What keeps that server busy, one after the other.
        under: Vec<Load>,
    },
}

/// What keeps a server busy (section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Nothing.
    None,
    /// 50 simultaneous downloads of files by FTP.
    Downloads,
    /// 50 simultaneous uploads.
    Uploads,
    /// 50 simultaneous programs that draw random numbers.
    Jobs,
}

/// A checked experiment: one case of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The file's name, which runs all its cases.
    pub suite: String,
    /// The case's own name.
    pub case: String,
    /// The file's title.
    pub suite_title: String,
    /// One line for lists and reports.
    pub title: String,
    /// What the cluster is like when the trouble strikes.
    pub conditions: Conditions,
    /// What is measured of machines at rest; nothing strikes them then.
    pub survey: Option<Survey>,
    /// What is done, all at the same moment.
    pub strikes: Vec<Strike>,
    /// What follows once the functions are recovered, each when those before it are.
    pub then: Vec<Then>,
    /// When the trouble strikes.
    pub moment: Moment,
    /// How far a run goes.
    pub until: Until,
    /// Timings of the servers.
    pub profile: Profile,
    /// Interval of the client's accesses.
    pub poll: Duration,
    /// How many times the experiment runs when the command line does not say.
    pub repeats: u32,
    /// What the report shows.
    pub measures: Vec<Measure>,
}

impl Experiment {
    /// What the operator calls it: `fig13/nt2`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.suite, self.case)
    }

    /// The servers in trouble, in ring order.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let servers = self.strikes.iter().map(|strike| strike.server.clone());
        servers.collect()
    }

    /// Whether the report shows `measure` for a server in this trouble: what needs a backup VM is
    /// not there without one.
    #[must_use]
    pub fn wants(&self, measure: Measure, trouble: TroubleKind) -> bool {
        let possible = match measure {
            Measure::Function | Measure::Activation => trouble.needs_backup(),
            // Without a backup VM the function is back with the target.
            Measure::Target => self.until == Until::Home || !trouble.needs_backup(),
            Measure::Disconnection => true,
        };
        possible && self.measures.contains(&measure)
    }

    /// The way of activating backup VMs that is in force.
    #[must_use]
    pub fn activation(&self) -> Activation {
        self.conditions.activation.unwrap_or_default()
    }

    /// Whether some function moves to a backup VM.
    #[must_use]
    pub fn needs_backup(&self) -> bool {
        let mut strikes = self.strikes.iter();
        strikes.any(|strike| strike.trouble.needs_backup())
    }
}
