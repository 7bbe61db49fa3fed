//! What goes into the decisions and what comes out of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Add;
use std::time::Duration;

use super::claim::{Claim, Record};
use super::placement::Sample;
use super::{Event, Message};
use crate::cluster::{Condition, Group, Mac, Operation, Separation, ServerName, Service, Trouble};

/// A moment of a clock that only goes forward, counted from any start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(pub Duration);

impl Now {
    /// Milliseconds since the clock's start.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// The moment that many milliseconds after the clock's start.
    pub fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Which part of the decisions asked for an examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asker {
    /// The management program of the target.
    Manager,
    /// Its background job.
    Job,
    /// A peer that wants a second opinion.
    Peer,
}

/// Names a running examination, so that its result finds back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExamId {
    /// Who asked.
    pub asker: Asker,
    /// Who is examined.
    pub target: ServerName,
    /// Tells it from earlier ones.
    pub serial: u64,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A deadline may have passed; see [`super::Management::next_deadline`].
    Tick,
    /// The node itself ran late by this much: what was examined meanwhile proves nothing.
    Late(Duration),
    /// A peer said something.
    Message {
        /// Who, as its certificate says.
        from: ServerName,
        /// What.
        message: Message,
    },
    /// A ping came back, or did not in time.
    Pinged {
        /// Which.
        id: ExamId,
        /// Whether it came back.
        ok: bool,
    },
    /// A service was examined.
    Probed {
        /// In which examination.
        id: ExamId,
        /// Which service.
        service: Service,
        /// Whether it answered as it should.
        ok: bool,
    },
    /// What came of [`Output::Claim`].
    Claimed {
        /// The claim that was tried.
        claim: Claim,
        /// Won, or who has it, or why the share could not tell.
        result: ClaimResult,
    },
    /// What came of [`Output::ReadClaims`].
    Claims {
        /// What was asked for.
        query: Query,
        /// When the reading began.
        begun: Now,
        /// The newest record of each function asked for that has any, or why not.
        result: Result<Vec<Record>, String>,
    },
    /// What came of [`Output::TakeVip`].
    VipTaken(Result<(), String>),
    /// The own VIP is off this server: after [`Output::DropVip`], or renewed too late.
    VipDropped,
    /// What came of [`Output::StartVm`].
    VmStarted {
        /// Whose function.
        function: ServerName,
        /// The reason of a failure.
        result: Result<(), String>,
    },
    /// What came of [`Output::SetVmVip`].
    VmVipSet {
        /// Whose function.
        function: ServerName,
        /// The reason of a failure.
        result: Result<(), String>,
    },
    /// The backup VM is gone.
    VmReleased {
        /// Whose function.
        function: ServerName,
    },
    /// A golden state is loaded and paused, or could not be.
    Standby {
        /// Whose function.
        function: ServerName,
        /// Whether it is loaded.
        loaded: bool,
    },
    /// What came of [`Output::RestartServices`].
    ServicesRestarted(Result<(), String>),
    /// This server's load, as lately measured.
    Load(Box<Sample>),
}

/// What came of an attempt to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimResult {
    /// It is ours.
    Won,
    /// Another claim of that epoch, or a newer one, stands; or one on the claimant itself.
    Lost(Box<Record>),
    /// The share did not answer; whether it is ours is not known.
    Failed(String),
}

/// Which records are read, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All of them.
    All,
    /// One function's.
    One(ServerName),
}

/// Something to do. The node starts it and goes on; results come back as [`Input`].
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write to the system log.
    Log(Event),
    /// Tell a peer. May be lost.
    Send {
        /// Whom.
        to: ServerName,
        /// What.
        message: Message,
    },
    /// Examine a network: [`Input::Pinged`].
    Ping {
        /// Comes back with the result.
        id: ExamId,
        /// Whom.
        address: Ipv4Addr,
        /// The time-out.
        within: Duration,
    },
    /// Examine a service: [`Input::Probed`].
    Probe {
        /// Comes back with the result.
        id: ExamId,
        /// In which protocol.
        service: Service,
        /// Whom.
        address: Ipv4Addr,
        /// The time-out.
        within: Duration,
    },
    /// Create a claim file: [`Input::Claimed`]. The same claim may be tried again. It is refused to
    /// a server whose own function somebody else has claimed, see [`Claim::is_barred_by`]: then
    /// that record comes back as [`ClaimResult::Lost`].
    Claim(Claim),
    /// Replace the state file of an own claim.
    WriteState(Record),
    /// Read claims: [`Input::Claims`].
    ReadClaims(Query),
    /// Replace the management files, which are computed from the claims.
    WriteViews(Views),
    /// Replace the condition file.
    WriteCondition(Condition),
    /// Probe for a duplicate, then set the own VIP until then and announce it:
    /// [`Input::VipTaken`].
    TakeVip {
        /// When the kernel is to take it off.
        until: Now,
    },
    /// Keep the own VIP until then.
    KeepVip {
        /// When the kernel is to take it off.
        until: Now,
    },
    /// Take the own VIP off: [`Input::VipDropped`].
    DropVip,
    /// Activate the backup VM without VIP: [`Input::VmStarted`].
    StartVm {
        /// Whose function.
        function: ServerName,
    },
    /// Set the function's VIP on the backup VM until then and announce it:
    /// [`Input::VmVipSet`].
    SetVmVip {
        /// Whose function.
        function: ServerName,
        /// When the VM is to take it off.
        until: Now,
    },
    /// Keep it until then.
    KeepVmVip {
        /// Whose function.
        function: ServerName,
        /// When the VM is to take it off.
        until: Now,
    },
    /// Take the VIP off the VM and destroy it: [`Input::VmReleased`].
    ReleaseVm {
        /// Whose function.
        function: ServerName,
    },
    /// Load a golden state and keep it paused ([`Input::Standby`]), or drop it.
    Standby {
        /// Whose function.
        function: ServerName,
        /// Load or drop.
        load: bool,
    },
    /// Restart this server's own services: [`Input::ServicesRestarted`].
    RestartServices,
    /// Reboot this server.
    Reboot,
    /// Send a wake-on-LAN packet.
    Wake(Mac),
    /// Create the local flag file.
    RaiseFlag,
}

/// The management files as computed from the base group and the claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    /// Servers that manage and are managed.
    pub group: Group,
    /// Servers that are out.
    pub separation: Separation,
    /// Who manages whom.
    pub operation: Operation,
    /// Which backup VM runs where.
    pub trouble: Trouble,
}

/// What a node knows before its first input.
#[derive(Debug, Clone)]
pub struct Config {
    /// This server.
    pub me: ServerName,
    /// All servers of the cluster in ring order, whatever their state.
    pub base: Group,
    /// Their management data.
    pub data: BTreeMap<ServerName, crate::cluster::ManagementData>,
    /// Settings of the cluster.
    pub settings: crate::cluster::Settings,
    /// Memory that each function's backup VM needs, KB; without an entry it needs none.
    pub vm_memory_kb: BTreeMap<ServerName, u64>,
    /// Drawn anew at each start of the node.
    pub boot: u64,
}
