//! Whole clusters in virtual time.

mod scenarios;
mod world;
