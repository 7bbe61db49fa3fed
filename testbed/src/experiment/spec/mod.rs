//! An experiment as data: what breaks, when, and what is read off.
//!
//! One TOML file an experiment of the paper, with its cases; `file` reads and checks it.

mod file;

pub use file::SpecError;

use ringward::cluster::Profile;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The paper's four kinds of trouble (section 4.3), and two more.
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

/// What befalls another server once the functions are recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// The one that hosts the backup VM of this server.
    pub host_of: String,
    /// What.
    pub trouble: TroubleKind,
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
    /// What is done, all at the same moment, at least one.
    pub strikes: Vec<Strike>,
    /// What follows once the functions are recovered.
    pub then: Option<Then>,
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

    /// Whether some function moves to a backup VM.
    #[must_use]
    pub fn needs_backup(&self) -> bool {
        let mut strikes = self.strikes.iter();
        strikes.any(|strike| strike.trouble.needs_backup())
    }
}
