//! What can befall a cluster, with the words that scenario files use.

use super::network::Weather;

/// An enum whose variants have words in scenario files.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$what:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$what])* $variant, )* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// The word in scenario files.
            pub fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }
    };
}

words! {
    /// What befalls one server.
    OnServer {
        /// Shut down, or its power cut; wake-on-LAN starts it (Nt2).
        PowerOff = "power-off",
        /// A human starts it.
        PowerOn = "power-on",
        /// A human restarts it (Nt1).
        Restart = "restart",
        /// The machine stands still, and with it all it runs.
        Freeze = "freeze",
        /// It goes on.
        Thaw = "thaw",
        /// The agent dies and is started again.
        AgentCrash = "agent-crash",
        /// The agent dies for good.
        AgentDeath = "agent-death",
        /// A human starts the agent.
        AgentStart = "agent-start",
        /// A service stops; restarting it helps (St1).
        ServiceStop = "service-stop",
        /// A service takes connections and says nothing; restarting it helps.
        ServiceHang = "service-hang",
        /// A service stops; only restarting the server helps (St2).
        ServiceBreak = "service-break",
        /// A service stops; nothing helps but a human.
        ServiceLoss = "service-loss",
        /// A human repairs all and starts what is down.
        Repair = "repair",
        /// Backup VMs do not start here.
        VmFailure = "vm-failure",
        /// Golden states cannot be loaded here.
        StandbyFailure = "standby-failure",
        /// Wake-on-LAN does not start it.
        WolFailure = "wol-failure",
    }
}

words! {
    /// What befalls one server for some seconds.
    Timed {
        /// The node comes late to all it has to do by this much.
        Late = "late",
        /// The node's clock jumps ahead.
        ClockJump = "clock-jump",
        /// A service stops and comes back by turns of this length.
        ServiceFlap = "service-flap",
        /// Backup VMs take this much longer to start here, and their guests to set the VIP.
        VmSlow = "vm-slow",
    }
}

words! {
    /// What befalls the way between two; one of them may be the share.
    OnWay {
        /// Cut both ways.
        Cut = "cut",
        /// Nothing comes from the first to the second.
        CutOneWay = "cut-one-way",
        /// Whole again, both ways.
        Join = "join",
    }
}

words! {
    /// What befalls the share.
    OnShare {
        /// Refuses everybody.
        Away = "share-away",
        /// Takes requests and answers none.
        Hang = "share-hang",
        /// State files read torn.
        Torn = "share-torn",
        /// State files read as they were before.
        Stale = "share-stale",
        /// Well again.
        Back = "share-back",
    }
}

/// Something that befalls the cluster. Servers are numbered from 0 in ring order; the share comes
/// after the last.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// One server.
    Server(OnServer, usize),
    /// One server, for so many seconds.
    Timed(Timed, usize, f64),
    /// The way between two.
    Way(OnWay, usize, usize),
    /// These on one side, the others on the other.
    Partition(Vec<usize>),
    /// The network for everybody.
    Network(Weather),
    /// The share.
    Share(OnShare),
    /// Each request to the share takes up to so many seconds longer.
    ShareSlow(f64),
    /// All is repaired.
    Heal,
}

/// Words of the faults that stand alone.
pub(super) const PARTITION: &str = "partition";
/// See [`Fault::Network`].
pub(super) const NETWORK: &str = "network";
/// See [`Fault::ShareSlow`].
pub(super) const SHARE_SLOW: &str = "share-slow";
/// See [`Fault::Heal`].
pub(super) const HEAL: &str = "heal";

impl Fault {
    /// As a scenario file has it, without braces: `fault = "cut", server = "ftp", peer = "share"`.
    /// `name` names servers.
    pub fn to_toml(&self, name: impl Fn(usize) -> String) -> String {
        match self {
            Self::Server(what, server) => {
                format!(
                    "fault = \"{}\", server = \"{}\"",
                    what.word(),
                    name(*server)
                )
            }
            Self::Timed(what, server, seconds) => format!(
                "fault = \"{}\", server = \"{}\", seconds = {seconds:?}",
                what.word(),
                name(*server)
            ),
            Self::Way(what, a, b) => format!(
                "fault = \"{}\", server = \"{}\", peer = \"{}\"",
                what.word(),
                name(*a),
                name(*b)
            ),
            Self::Partition(side) => {
                let side: Vec<String> =
                    side.iter().map(|at| format!("\"{}\"", name(*at))).collect();
                format!("fault = \"{PARTITION}\", servers = [{}]", side.join(", "))
            }
            Self::Network(Weather {
                delay_ms,
                jitter_ms,
                loss,
                duplicate,
            }) => format!(
                "fault = \"{NETWORK}\", delay_ms = {delay_ms}, jitter_ms = {jitter_ms}, \
                 loss = {loss}, duplicate = {duplicate}"
            ),
            Self::Share(what) => format!("fault = \"{}\"", what.word()),
            Self::ShareSlow(seconds) => format!("fault = \"{SHARE_SLOW}\", seconds = {seconds:?}"),
            Self::Heal => format!("fault = \"{HEAL}\""),
        }
    }

    /// As the event log has it.
    pub fn to_text(&self, name: impl Fn(usize) -> String) -> String {
        match self {
            Self::Server(what, _) => what.word().to_owned(),
            Self::Timed(what, _, seconds) => format!("{} {seconds} s", what.word()),
            Self::Way(what, _, b) => format!("{} {}", what.word(), name(*b)),
            Self::Partition(side) => {
                let side: Vec<String> = side.iter().map(|at| name(*at)).collect();
                format!("{PARTITION} {}", side.join(", "))
            }
            Self::Network(weather) => format!(
                "{NETWORK} delay {} to {} ms, {} and {} per mille lost and doubled",
                weather.delay_ms,
                weather.delay_ms + weather.jitter_ms,
                weather.loss,
                weather.duplicate
            ),
            Self::Share(what) => what.word().to_owned(),
            Self::ShareSlow(seconds) => format!("{SHARE_SLOW} up to {seconds} s"),
            Self::Heal => HEAL.to_owned(),
        }
    }

    /// The server that it befalls, if it is one.
    pub fn server(&self) -> Option<usize> {
        match self {
            Self::Server(_, server) | Self::Timed(_, server, _) | Self::Way(_, server, _) => {
                Some(*server)
            }
            _ => None,
        }
    }
}
