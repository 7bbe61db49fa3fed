//! What managing costs the servers: messages, accesses to the share, examinations, by kind.
//!
//! Counted is what the decisions order, at the one place where inputs go in and outputs come out.
//! An access to the share is one look at a directory or file of claims, or one file replaced: a
//! reading of all claims looks at the directory of every function (sections 2.6 and 3 of the paper
//! keep the load of the file server low, and so must know it).

use std::collections::{BTreeMap, BTreeSet};

use ringward::cluster::ServerName;
use ringward::manage::message::Depth;
use ringward::manage::{Asker, Input, Message, Output, Query};

/// What is counted, and how often a server did it. The order is that of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    Sent,
    Received,
    Share,
    Examination,
}

/// One kind of message, access or examination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) sort: Sort,
    pub(super) name: &'static str,
}

/// Counts since it was made.
#[derive(Debug)]
pub(super) struct Count {
    servers: usize,
    done: BTreeMap<Kind, Vec<u64>>,
    /// Whom the management programs of each server examined (Table 1 of the paper).
    targets: Vec<BTreeSet<ServerName>>,
}

impl Count {
    pub(super) fn new(servers: usize) -> Self {
        Self {
            servers,
            done: BTreeMap::new(),
            targets: vec![BTreeSet::new(); servers],
        }
    }

    /// What each server did of each kind, by server.
    pub(super) fn done(&self) -> &BTreeMap<Kind, Vec<u64>> {
        &self.done
    }

    /// How many targets each server manages, as its examinations show.
    pub(super) fn targets(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().map(BTreeSet::len)
    }

    /// A server is told something.
    pub(super) fn input(&mut self, server: usize, input: &Input) {
        if let Input::Message { message, .. } = input {
            self.add(server, Sort::Received, name(message), 1);
        }
    }

    /// The decisions of a server want something.
    pub(super) fn output(&mut self, server: usize, output: &Output) {
        let all = u64::try_from(self.servers).unwrap_or(u64::MAX);
        let (sort, name, times) = match output {
            Output::Send { message, .. } => (Sort::Sent, name(message), 1),
            Output::ReadClaims(Query::One(_)) => (Sort::Share, "claims of one function read", 1),
            Output::ReadClaims(Query::All) => (Sort::Share, "claims of all functions read", all),
            // The claimant's own newest claim, the function's, and the creation.
            Output::Claim(_) => (Sort::Share, "claim created", 3),
            Output::WriteState(_) => (Sort::Share, "state of a claim replaced", 1),
            // Group, separation, operation, trouble.
            Output::WriteViews(_) => (Sort::Share, "management files replaced", 4),
            Output::WriteCondition(_) => (Sort::Share, "condition file replaced", 1),
            Output::Ping { id, .. } => {
                if id.asker == Asker::Manager {
                    self.targets[server].insert(id.target.clone());
                }
                (Sort::Examination, "ping", 1)
            }
            Output::Probe { .. } => (Sort::Examination, "service", 1),
            _ => return,
        };
        self.add(server, sort, name, times);
    }

    fn add(&mut self, server: usize, sort: Sort, name: &'static str, times: u64) {
        let servers = self.servers;
        let kind = Kind { sort, name };
        let done = self.done.entry(kind).or_insert_with(|| vec![0; servers]);
        done[server] += times;
    }
}

/// What a message is called in the tables.
fn name(message: &Message) -> &'static str {
    match message {
        Message::S { .. } => "S",
        Message::R { .. } => "R",
        Message::U { .. } => "U",
        Message::D { .. } => "D",
        Message::Flag => "Flag",
        Message::Ask { .. } => "Ask",
        Message::Grant { .. } => "Grant",
        Message::Refuse { .. } => "Refuse",
        Message::AskWord { .. } => "AskWord",
        Message::GiveWord { .. } => "GiveWord",
        Message::Hear { .. } => "Hear",
        Message::Heard { .. } => "Heard",
        Message::HearOf { .. } => "HearOf",
        Message::HeardOf { .. } => "HeardOf",
        Message::HandOver { .. } => "HandOver",
        Message::Confirm {
            depth: Depth::Network,
            ..
        } => "Confirm (network)",
        Message::Confirm { .. } => "Confirm (service)",
        Message::Seen { .. } => "Seen",
        Message::Modified { .. } => "Modified",
        Message::Activate { .. } => "Activate",
        Message::Activated { .. } => "Activated",
        Message::SetVip { .. } => "SetVip",
        Message::VipSet { .. } => "VipSet",
        Message::Release { .. } => "Release",
        Message::Released { .. } => "Released",
        Message::AskLoad => "AskLoad",
        Message::Load(_) => "Load",
        Message::Standby { .. } => "Standby",
        Message::RestartService => "RestartService",
        Message::ServiceRestarted { .. } => "ServiceRestarted",
        Message::DropVip { .. } => "DropVip",
        Message::VipDropped { .. } => "VipDropped",
        Message::Reboot { .. } => "Reboot",
        Message::Holding { .. } => "Holding",
    }
}
