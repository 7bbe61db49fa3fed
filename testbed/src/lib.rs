//! The testbed: a whole ring under QEMU, and the experiments of the paper on it.

pub mod experiment;
pub mod lab;
pub mod report;
