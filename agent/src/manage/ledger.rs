//! The newest known claim of every function, and what the management files say by them.

use std::collections::BTreeMap;

use super::claim::{Phase, Record};
use super::io::Config;
use crate::cluster::{Epoch, Group, Member, ServerName, Trouble, TroubleLine};

/// The newest known record of each function. Merging is commutative and idempotent, so servers
/// that heard the same records in any order agree.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    records: BTreeMap<ServerName, Record>,
    /// How many were taken in.
    news: u64,
    /// The sum of the checksums of all records.
    digest: u32,
}

impl Ledger {
    /// Takes a record in; whether it said something new.
    pub(super) fn merge(&mut self, record: Record) -> bool {
        match self.records.get(&record.claim.function) {
            Some(known) if !record.is_newer_than(known) => false,
            _ => {
                self.digest = self.digest.wrapping_add(checksum(&record));
                let function = record.claim.function.clone();
                if let Some(old) = self.records.insert(function, record) {
                    self.digest = self.digest.wrapping_sub(checksum(&old));
                }
                self.news += 1;
                true
            }
        }
    }

    /// A checksum of all that is known: the same for two servers that know the same.
    pub(super) fn digest(&self) -> u32 {
        self.digest
    }

    /// How many records said something new so far: until another one does, all stays as it is.
    pub(super) fn news(&self) -> u64 {
        self.news
    }

    /// The newest record of a function.
    pub(super) fn get(&self, function: &ServerName) -> Option<&Record> {
        self.records.get(function)
    }

    /// The newest epoch of a function.
    pub(super) fn epoch(&self, function: &ServerName) -> Epoch {
        self.get(function)
            .map(|record| record.claim.epoch)
            .unwrap_or_default()
    }

    /// The record of a function that is away from home.
    pub(super) fn away(&self, function: &ServerName) -> Option<&Record> {
        self.get(function).filter(|record| record.is_away())
    }

    /// All records.
    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Who is out of the group and has claimed one that is out too. Which claim came first cannot be told:
    /// it may be back and have claimed the other since.
    pub(super) fn claimants_out(&self) -> impl Iterator<Item = (&ServerName, &ServerName)> {
        self.all_away()
            .map(|record| (&record.claim.owner, &record.claim.function))
            .filter(|(owner, _)| self.away(owner).is_some())
    }

    /// All records of functions that are away.
    pub(super) fn all_away(&self) -> impl Iterator<Item = &Record> {
        self.all().filter(|record| record.is_away())
    }
}

fn checksum(record: &Record) -> u32 {
    let (claim, revision) = (&record.claim, record.state.revision);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(claim.function.as_str().as_bytes());
    hasher.update(&claim.epoch.0.to_be_bytes());
    hasher.update(&revision.to_be_bytes());
    hasher.finalize()
}

/// The servers that manage and are managed: those of whom no claim says that they are away.
///
/// Two servers that claimed each other at the same moment would both be out; the one with the
/// lower number stays in.
pub(super) fn group(base: &Group, ledger: &Ledger) -> Group {
    let in_group = |member: &Member| match ledger.away(&member.name) {
        None => true,
        Some(record) => {
            let (name, owner) = (&member.name, &record.claim.owner);
            let mutual = ledger
                .away(owner)
                .is_some_and(|other| other.claim.owner == *name);
            mutual && base.position(name) < base.position(owner)
        }
    };
    base.only(in_group)
}

/// Which backup VM serves where, in ring order.
pub(super) fn trouble(config: &Config, ledger: &Ledger) -> Trouble {
    let serving = config.base.names().filter_map(|target| {
        let state = &ledger.away(target)?.state;
        let runs = matches!(state.phase, Phase::Serving | Phase::GivenUp);
        let host = state.host.clone().filter(|_| runs)?;
        let vm = config.data.get(target)?.vm_name.clone();
        let target = target.clone();
        Some(TroubleLine { vm, target, host })
    });
    Trouble {
        lines: serving.collect(),
    }
}
