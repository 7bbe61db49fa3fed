//! Decisions: the management program of the paper (section 3). Pure: no I/O, no clock, no random.
//!
//! The node feeds it `(now, input)` and carries out the outputs; the simulator does the same
//! in virtual time.

pub mod claim;
pub mod event;
pub mod message;

pub use event::Event;
pub use message::Message;
