//! Machines under QEMU, the LAN switch between them, power and wake-on-LAN, saved states.

pub mod accel;
pub mod bundle;
pub mod cancel;
pub mod children;
pub mod error;
pub mod fabric;
pub mod fault;
pub mod frame;
pub mod network;
pub mod pcap;
pub mod shape;
pub mod switch;
