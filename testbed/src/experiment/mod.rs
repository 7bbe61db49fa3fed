//! What to break and what to measure, as data, and the code that carries it out.

pub mod atrest;
pub mod audit;
pub mod calibrate;
pub mod catalogue;
pub mod cli;
pub mod client;
pub mod clocks;
pub mod collect;
pub mod conditions;
pub mod cycle;
pub mod fault;
pub mod follow;
pub mod judge;
pub mod plan;
pub mod progress;
pub mod ring;
pub mod rundir;
pub mod runner;
pub mod session;
pub mod site;
pub mod spec;
pub mod survey;
#[cfg(test)]
mod tests;
