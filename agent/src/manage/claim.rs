//! Claims: who may act for a function. The truth that all views are computed from.
//!
//! A claim is a file `claims/<function>/<epoch>.claim` on the share, created atomically and
//! never changed: who created it owns that epoch. The newest claim of a function decides. With
//! [`Purpose::Recover`] the function is away from home and its server is out of the group; with
//! [`Purpose::Home`], or without any claim, it is at home. How far a recovery got stands in
//! `<epoch>.state`, which only the owner replaces.

use serde::{Deserialize, Serialize};

use crate::cluster::{Epoch, ServerName};

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The owner recovers the function on a backup VM.
    Recover,
    /// The owner gave it back to its own server.
    Home,
}

/// The content of a claim file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose function.
    pub function: ServerName,
    /// The epoch, also in the file's name.
    pub epoch: Epoch,
    /// Who may act.
    pub owner: ServerName,
    /// For what.
    pub purpose: Purpose,
}

impl Claim {
    /// Whether the newest record of the claimant's own function bars it: who is out of the group
    /// acts for nobody, or servers would come back that the others do not know of. Only two that
    /// claimed each other at the same moment may give each other back.
    pub fn is_barred_by(&self, own: &Record) -> bool {
        let mutual = self.purpose == Purpose::Home && own.claim.owner == self.function;
        own.is_away() && own.claim.owner != self.owner && !mutual
    }
}

/// How far a recovery got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The target is examined again; it may still turn out to be healthy.
    Examining,
    /// The backup VM is being started on the host.
    Starting,
    /// The backup VM on the host serves clients.
    Serving,
    /// So it does, and the target is not recoverable.
    GivenUp,
}

/// The content of a state file. Of two states of one epoch the higher revision is newer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Counts the owner's changes, from 0.
    pub revision: u64,
    /// How far it got.
    pub phase: Phase,
    /// The server with the backup VM.
    pub host: Option<ServerName>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            revision: 0,
            phase: Phase::Examining,
            host: None,
        }
    }
}

/// A claim with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The claim.
    pub claim: Claim,
    /// How far it got; without a state file the default.
    #[serde(default)]
    pub state: State,
}

impl Record {
    /// Whether the function is away from home.
    pub fn is_away(&self) -> bool {
        self.claim.purpose == Purpose::Recover
    }

    /// Whether this says more than `other` about the same function.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let key = |record: &Self| (record.claim.epoch, record.state.revision);
        key(self) > key(other)
    }
}
