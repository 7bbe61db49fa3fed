//! The simulator: whole clusters in virtual time, with the agent's own decision code.
//!
//! [`ringward::manage::Management`] decides for each server; everything else is played: machines
//! that boot, freeze and lose power, services, backup VMs, the network, the share. What befalls them
//! is a list of faults, written by hand ([`Scenario`]) or drawn from a seed. The audit looks at its
//! rules at every step. A seed and a commit give the same event log, byte for byte.
//!
//! | part | what |
//! |---|---|
//! | `world`, `carry`, `happen`, `strike`, `look` | the world: see `world` |
//! | `machine`, `network`, `share`, `cluster` | what it is made of |
//! | `queue`, `happening`, `random` | time and chance |
//! | [`fault`], `scenario`, `draw`, `shrink` | what befalls it |
//! | [`audit`], `log`, `play`, `many`, [`cli`] | what comes of it |
//! | `count`, `tables` | what managing costs, and the paper's Tables 1 and 2 |
//! | `watch`, [`experiment`], `figures` | one trouble timed; experiment files; the paper's Figs. 13 to 15 |
//!
//! Not played: contents of VMs and services, ARP, TLS and frames of messages, disks. The probe for
//! duplicates before a VIP is set never finds any here, so that nothing is hidden from the audit.
//! VIPs live as long as the decisions say; the kernel's whole seconds are left out.

pub mod audit;
mod carry;
pub mod cli;
mod cluster;
mod count;
mod draw;
pub mod experiment;
pub mod fault;
mod figures;
mod happen;
mod happening;
mod log;
mod look;
mod machine;
mod many;
mod network;
mod play;
mod progress;
mod queue;
mod random;
mod scenario;
mod share;
mod shrink;
mod strike;
mod tables;
#[cfg(test)]
mod tests;
mod watch;
mod world;

pub use draw::{Frame, draw};
pub use log::Line;
pub use many::Tally;
pub use network::Weather;
pub use play::{Ends, Outcome, play};
pub use scenario::Scenario;
pub use shrink::shrink;
