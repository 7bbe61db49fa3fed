//! The newest known claim of every function, and the management files computed from them.

use std::collections::BTreeMap;

use super::claim::{Phase, Record};
use super::io::{Config, Views};
use crate::cluster::{Epoch, Group, ServerName, Trouble, TroubleLine, ring};

/// The newest known record of each function. Merging is commutative and idempotent, so servers
/// that heard the same records in any order agree.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    records: BTreeMap<ServerName, Record>,
    /// How many were taken in.
    news: u64,
    digest: u32,
}

impl Ledger {
    /// Takes a record in; whether it said something new.
    pub(super) fn merge(&mut self, record: Record) -> bool {
        match self.records.get(&record.claim.function) {
            Some(known) if !record.is_newer_than(known) => false,
            _ => {
                self.records.insert(record.claim.function.clone(), record);
                self.news += 1;
                self.digest = self.checksum();
                true
            }
        }
    }

    /// A checksum of all that is known: the same for two servers that know the same.
    pub(super) fn digest(&self) -> u32 {
        self.digest
    }

    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for record in self.all() {
            let (claim, revision) = (&record.claim, record.state.revision);
            hasher.update(claim.function.as_str().as_bytes());
            hasher.update(&claim.epoch.0.to_be_bytes());
            hasher.update(&revision.to_be_bytes());
        }
        hasher.finalize()
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

    /// All records of functions that are away.
    pub(super) fn all_away(&self) -> impl Iterator<Item = &Record> {
        self.all().filter(|record| record.is_away())
    }
}

/// The management files, from the base group and the claims alone.
///
/// Two servers that claimed each other at the same moment would both be out; the one with the
/// lower number stays in.
pub(super) fn views(config: &Config, ledger: &Ledger) -> Views {
    let out = |name: &ServerName| match ledger.away(name) {
        None => false,
        Some(record) => {
            let owner = &record.claim.owner;
            let mutual = ledger
                .away(owner)
                .is_some_and(|other| other.claim.owner == *name);
            !(mutual && config.base.position(name) < config.base.position(owner))
        }
    };
    let (out, group): (Vec<_>, Vec<_>) = config
        .base
        .members()
        .iter()
        .cloned()
        .partition(|member| out(&member.name));
    let group = Group::new(group);
    let operation = ring::operation(&group, config.settings.topology);
    let serving = out.iter().filter_map(|member| {
        let state = &ledger.away(&member.name)?.state;
        let runs = matches!(state.phase, Phase::Serving | Phase::GivenUp);
        let host = state.host.clone().filter(|_| runs)?;
        let vm = config.data.get(&member.name)?.vm_name.clone();
        Some(TroubleLine {
            vm,
            target: member.name.clone(),
            host,
        })
    });
    let trouble = Trouble {
        lines: serving.collect(),
    };
    Views {
        group,
        separation: Group::new(out),
        operation,
        trouble,
    }
}
