//! What to break and what to measure, as data, and the code that carries it out.

pub mod audit;
pub mod catalogue;
pub mod clocks;
pub mod collect;
pub mod fault;
pub mod follow;
pub mod progress;
pub mod ring;
pub mod rundir;
pub mod site;
pub mod spec;
