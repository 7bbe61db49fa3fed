//! Machines under QEMU, the LAN switch between them, power and wake-on-LAN, saved states.

pub mod accel;
pub mod bundle;
pub mod cancel;
pub mod children;
pub mod error;
pub mod events;
pub mod fabric;
pub mod fault;
pub mod frame;
pub mod guest;
pub mod machine;
pub mod network;
pub mod pcap;
pub mod qemu;
pub mod qmp;
pub mod shape;
pub mod site;
pub mod sshkey;
pub mod switch;
pub mod tar;
pub mod volume;
