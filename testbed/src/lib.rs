//! The testbed: a whole ring under QEMU, and the experiments of the paper on it.

#![allow(
    clippy::format_collect,
    reason = "the texts are short, and it reads well"
)]

pub mod experiment;
pub mod lab;
pub mod report;
