//! What agents say to each other.
//!
//! S, R, U, D and the flag are the paper's files (sections 3.1 and 3.2). Claims and grants are
//! what keeps a VIP from having two owners; ARCHITECTURE.md says why. Every message may be
//! lost, repeated or late: orders carry an epoch and are repeated until answered, answers to
//! old ones are ignored, and a grant counts from when its receiver asked for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::claim::Record;
use super::placement::Sample;
use crate::cluster::{Epoch, ServerName};

/// A message between two agents. The connection says who sent it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// S: examine your targets now. Broadcast by the head of the group.
    S {
        /// What the head knows of all claims, as a checksum: who knows others asks for what it lacks.
        #[serde(default)]
        known: u32,
    },
    /// R: the trouble of `target` went by without a recovery (P1 to P2).
    R {
        /// Who was in trouble.
        target: ServerName,
    },
    /// U: `target` is recovered (P1 to P2).
    U {
        /// Who was in trouble.
        target: ServerName,
    },
    /// D: `target` cannot be recovered (P1 to P2).
    D {
        /// Who is in trouble.
        target: ServerName,
    },
    /// The flag: the target runs its management programs again.
    Flag,

    /// A holder of a VIP asks the managers of the function (at home) or the owner of its claim
    /// (on a backup VM) for a grant. A passive server asks too: that is how its return is seen.
    Ask {
        /// Whose function.
        function: ServerName,
        /// The newest epoch the holder knows.
        epoch: Epoch,
        /// The holder's clock when it asked, milliseconds; comes back in the grant.
        stamp_ms: u64,
        /// Drawn anew at each start of the node: tells a rebooted server from one that never
        /// went down.
        boot: u64,
        /// Whether what the holder has runs out soon. Otherwise it only shows that it lives.
        short: bool,
    },
    /// You hold `function` under `epoch` until your own clock shows `until_ms`.
    Grant {
        /// Whose function.
        function: ServerName,
        /// The epoch it is held under.
        epoch: Epoch,
        /// The holder's clock, milliseconds: the stamp it asked with and the time to live.
        until_ms: u64,
    },
    /// No: this newer claim stands.
    Refuse {
        /// The claim.
        record: Box<Record>,
    },
    /// Do you know of no other claims than these? Grants rest on the answers of all.
    AskWord {
        /// The asker's clock, milliseconds.
        stamp_ms: u64,
        /// The newest claims that the asker knows.
        known: Vec<Known>,
    },
    /// Of no other ones. Who does sends them instead.
    GiveWord {
        /// The stamp of the question.
        stamp_ms: u64,
        /// Functions that the answering server acts or may act against: nothing is said of them.
        doubts: Vec<ServerName>,
    },
    /// A waiting P2 asks P1 of `target` for a sign of life.
    Hear {
        /// Who is in trouble.
        target: ServerName,
    },
    /// Yes, we see to it.
    Heard {
        /// Who is in trouble.
        target: ServerName,
    },
    /// When did you hear of `server` last? A waiting P2 that does not hear P1 asks P1's managers.
    HearOf {
        /// Who is asked about.
        server: ServerName,
    },
    /// So long ago.
    HeardOf {
        /// Who was asked about.
        server: ServerName,
        /// Milliseconds since its agent asked for its grant.
        ago_ms: u64,
    },

    /// The sender was claimed itself and is no longer at the recovery of `function`: to who claimed
    /// it.
    HandOver {
        /// Whose function.
        function: ServerName,
        /// The sender's claim on it. No VM had the VIP under it and none will.
        epoch: Epoch,
        /// The claim on the sender.
        out: Epoch,
        /// Older holders may have the VIP for so long, milliseconds.
        left_ms: u64,
    },

    /// Do you find `target` well? Asked before it is claimed.
    Confirm {
        /// Who is in doubt.
        target: ServerName,
        /// How deep to look.
        depth: Depth,
    },
    /// The answer to it.
    Seen {
        /// Who is in doubt.
        target: ServerName,
        /// How deep the answering server looked.
        depth: Depth,
        /// What it found.
        sight: Sight,
    },
    /// A claim or its state changed.
    Modified {
        /// As it now stands.
        record: Box<Record>,
    },

    /// Start the backup VM of `function`, without its VIP.
    Activate {
        /// Whose function.
        function: ServerName,
        /// Under which claim.
        epoch: Epoch,
    },
    /// The backup VM runs, or why not.
    Activated {
        /// Whose function.
        function: ServerName,
        /// Under which claim.
        epoch: Epoch,
        /// The reason of a failure.
        failure: Option<String>,
    },
    /// Every older holder is out: set the VIP on the VM.
    SetVip {
        /// Whose function.
        function: ServerName,
        /// Under which claim.
        epoch: Epoch,
    },
    /// The VM has the VIP, or why not.
    VipSet {
        /// Whose function.
        function: ServerName,
        /// Under which claim.
        epoch: Epoch,
        /// The reason of a failure.
        failure: Option<String>,
    },
    /// Take the VIP off the VM and destroy it.
    Release {
        /// Whose function.
        function: ServerName,
        /// Under which claim, or any older.
        epoch: Epoch,
    },
    /// Done, or there was none.
    Released {
        /// Whose function.
        function: ServerName,
        /// The epoch of the order.
        epoch: Epoch,
    },
    /// How loaded are you? Asked when a backup VM may have to be placed.
    AskLoad,
    /// How loaded the sender is (paper, sections 2.5 and 4.1): to who asks, and once a round to the
    /// head of the group.
    Load(Box<Load>),
    /// Load the golden state of `function` and keep it paused, or drop it (from the head of the
    /// group).
    Standby {
        /// Whose function.
        function: ServerName,
        /// Load or drop.
        load: bool,
    },

    /// Restart your services (Service recovery mode).
    RestartService,
    /// Done, or why not.
    ServiceRestarted {
        /// The reason of a failure.
        failure: Option<String>,
    },
    /// Take your own VIP off and keep it off (background job 2).
    DropVip {
        /// Under which claim.
        epoch: Epoch,
    },
    /// It is off.
    VipDropped {
        /// The epoch of the order.
        epoch: Epoch,
    },
    /// Reboot (background job 2).
    Reboot {
        /// Under which claim.
        epoch: Epoch,
    },
    /// Home again: the target holds its own VIP.
    Holding {
        /// Under which epoch.
        epoch: Epoch,
    },
}

/// How loaded a server is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Its memory, processors and network, once they are measured.
    pub sample: Option<Sample>,
    /// Functions whose golden states it keeps loaded and paused.
    #[serde(default)]
    pub standbys: BTreeSet<ServerName>,
    /// It is loading another one.
    #[serde(default)]
    pub loading: bool,
}

/// The newest claim of a function that a server knows, by what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Whose function.
    pub function: ServerName,
    /// The claim's epoch.
    pub epoch: Epoch,
    /// The revision of its state.
    pub revision: u64,
}

/// How deep an examination goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Ping only.
    Network,
    /// Ping, then services.
    Service,
}

/// What a server found when asked to look at another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// It answers pings.
    Seen,
    /// It does not.
    Unseen,
}
