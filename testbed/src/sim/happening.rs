//! All that can happen in the world.

use std::time::Duration;

use ringward::cluster::Service;
use ringward::manage::claim::{Claim, Record};
use ringward::manage::{ExamId, Input, Now, Query};

/// Steps of a machine that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Network,
    Services,
    Agent,
}

/// Orders about a server's own VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VipOrder {
    /// Until then, by the node's clock.
    Take(Now),
    Keep(Now),
    Drop,
}

/// Orders about a backup VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VmOrder {
    Start,
    SetVip(Now),
    KeepVip(Now),
    Release,
    Load,
    Unload,
}

/// Something on one machine, for the run of the agent that it belongs to.
#[derive(Debug)]
pub(super) enum Deed {
    Input(Input),
    Ping {
        id: ExamId,
        ends: Now,
    },
    Probe {
        id: ExamId,
        service: Service,
        ends: Now,
    },
    Claim {
        claim: Claim,
        done: Now,
        heard: bool,
    },
    Read(Reading),
    Write,
    Vip(VipOrder),
    Vm {
        function: usize,
        order: VmOrder,
    },
    Load,
}

/// A reading of claims that is under way.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) query: Query,
    /// By the node's clock.
    pub(super) begun: Now,
    /// When the answer is there.
    pub(super) done: Now,
    /// Functions before this one are read.
    pub(super) next: usize,
    pub(super) got: Vec<Record>,
}

/// Something that is due.
#[derive(Debug)]
pub(super) enum Happening {
    Tick(usize),
    Do {
        server: usize,
        run: u64,
        deed: Deed,
    },
    Boot {
        server: usize,
        boot: u64,
        stage: Stage,
    },
    AgentStarts {
        server: usize,
        boot: u64,
    },
    Flap {
        server: usize,
        turn: u64,
        every: Duration,
    },
    GoesOn {
        server: usize,
        since: Now,
    },
    Strike(usize),
    Check,
}
