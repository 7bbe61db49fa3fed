//! The event log: one line of fixed columns an event, in virtual time.
//!
//! ```text
//!     25.000 ftp      * power-off
//!     32.010 web1       ftp: network trouble detected
//! ```

use std::fmt;

use ringward::manage::{Event, Now};

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A server's system log.
    Event(Event),
    /// What befell the cluster.
    Fault(String),
    /// What a server does that no event tells.
    Power(&'static str),
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    pub(super) at: Now,
    pub(super) server: String,
    pub(super) what: What,
}

impl Line {
    /// Whether it only counts seconds.
    pub fn is_tick(&self) -> bool {
        matches!(
            self.what,
            What::Event(Event::AwaitS { .. } | Event::Wait {} | Event::P2Wait {})
        )
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} {:<8} ", self.at.0.as_secs_f64(), self.server)?;
        match &self.what {
            What::Event(event) => write!(f, "  {event}"),
            What::Fault(text) => write!(f, "* {text}"),
            What::Power(text) => write!(f, "- {text}"),
        }
    }
}
