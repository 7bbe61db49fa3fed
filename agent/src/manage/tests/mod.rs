//! Whole clusters in virtual time.

mod random;
mod scenarios;
mod world;
