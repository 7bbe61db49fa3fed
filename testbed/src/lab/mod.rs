//! Machines under QEMU, the LAN switch between them, power and wake-on-LAN, saved states.

pub mod accel;
pub mod agent;
pub mod bringup;
pub mod bundle;
pub mod cancel;
pub mod children;
pub mod cli;
pub mod console;
pub mod control;
pub mod disks;
pub mod error;
pub mod events;
pub mod fabric;
pub mod fault;
pub mod frame;
pub mod golden;
pub mod guest;
#[allow(
    clippy::module_inception,
    reason = "the lab as a whole is in a file of its own"
)]
pub mod lab;
pub mod lock;
pub mod machine;
pub mod network;
pub mod onsite;
pub mod pace;
pub mod pcap;
mod plug;
pub mod progress;
pub mod qemu;
pub mod qmp;
pub mod ready;
pub mod roster;
pub mod serve;
pub mod shape;
pub mod site;
pub mod sshkey;
pub mod switch;
pub mod tar;
pub mod volume;
pub mod yielding;
