//! Facts about a cluster: management data, group, ring, timings. Pure, no I/O.
//!
//! Every file of the shared area has one type here that parses and formats it (paper, sections
//! 2.4 to 2.6). Parsers never guess: an error names file, line, what was found and what was
//! expected. Lines that start with `#` (the trailer that guards a file against tearing) and
//! empty lines are skipped everywhere but in management data, whose eight lines count.

mod condition;
mod data;
mod error;
mod group;
mod name;
mod operation;
pub mod ring;
mod service;
mod settings;
mod timings;
mod trouble;

pub use condition::{Condition, ServerCondition};
pub use data::ManagementData;
pub use error::ParseError;
pub use group::{Group, Member, Separation};
pub use name::{Epoch, Mac, ServerName};
pub use operation::{Operation, Priority, Task};
pub use ring::Topology;
pub use service::{Daemon, ServerType, Service};
pub use settings::{Activation, ProbeAccounts, Settings, SettingsError};
pub use timings::{PATIENCE, Profile, Timings, TimingsOverride};
pub use trouble::{Trouble, TroubleLine};
