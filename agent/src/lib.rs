//! Ringward: servers that guard each other in a ring.
//!
//! Arrows point one way: [`cluster`] (facts) `<-` [`manage`] (decisions) `<-` node `->` host,
//! probe, share, peer (effects). `cluster` and `manage` are pure: no clock, no random, no I/O.

#![allow(
    clippy::format_collect,
    reason = "the texts are short, and it reads well"
)]

pub mod check;
pub mod cluster;
pub mod keys;
pub mod manage;
pub mod observe;
pub mod peer;
pub mod probe;
pub mod release;
pub mod share;
pub mod site;

#[cfg(feature = "host")]
pub mod executer;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "host")]
pub mod node;
