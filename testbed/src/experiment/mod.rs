//! What to break and what to measure, as data, and the code that carries it out.

pub mod catalogue;
pub mod progress;
pub mod site;
pub mod spec;
