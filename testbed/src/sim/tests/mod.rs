//! The simulator's own tests, and those of whole clusters.

mod broken;
mod figures;
mod golden;
mod seeds;
