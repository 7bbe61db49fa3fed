//! Effects on this host: virtual IP, backup VMs, services, load, power, network daemon.
//!
//! Everything here changes or measures the machine it runs on, most of it as root. What to do and
//! when is decided elsewhere; nothing here repeats itself unasked except [`netdaemon::watch`].
//! All `unsafe` of the crate stays in this room, each with its reason.

mod arp;
pub mod lan;
pub mod load;
pub mod netdaemon;
pub mod power;
pub mod resident;
pub mod systemd;
mod vip;
pub mod vm;
