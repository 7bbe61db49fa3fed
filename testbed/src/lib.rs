//! The testbed: a whole ring under QEMU or in virtual time, and the experiments of the paper on it.

#![allow(
    clippy::format_collect,
    reason = "the texts are short, and it reads well"
)]

pub mod experiment;
pub mod lab;
pub mod report;
pub mod sim;
