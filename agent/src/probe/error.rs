//! What an examination can find instead of a healthy answer.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// Why an examination did not end in a healthy answer. `step` names the part of the exchange that
/// failed, in the words of its protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The server said nothing in time during this step.
    #[error("{step}: no answer within {} ms", within.as_millis())]
    NoAnswer {
        /// The step that was waiting.
        step: &'static str,
        /// The time it had: for this answer, or for all of them.
        within: Duration,
    },
    /// The machine answers, but nothing listens on the service's port.
    #[error("{step}: connection refused, no service listens there")]
    Refused {
        /// The step that was refused.
        step: &'static str,
    },
    /// The network says that the machine cannot be reached (no answer to ARP, or a router's word).
    #[error("{step}: host unreachable")]
    Unreachable {
        /// The step that found no way.
        step: &'static str,
    },
    /// The server hung up in the middle of the exchange.
    #[error("{step}: the server closed the connection, expected {expected}")]
    Closed {
        /// The step that was waiting.
        step: &'static str,
        /// What should have come.
        expected: &'static str,
    },
    /// The server answered something else than a healthy server does.
    #[error("{step}: expected {expected}, got `{got}`")]
    Unexpected {
        /// The step that was answered.
        step: &'static str,
        /// What a healthy server answers.
        expected: &'static str,
        /// What came, cut to one printable line.
        got: String,
    },
    /// This machine could not examine at all. It says nothing about the other one: see to the
    /// examiner's own network, privileges and settings.
    #[error("{step}: this machine could not examine: {reason}")]
    Examiner {
        /// The step that could not be carried out.
        step: &'static str,
        /// What the operating system said.
        reason: String,
    },
}

impl ProbeError {
    /// Whether the trouble is the examiner's own (no route, no privilege, no key), so that nothing
    /// may be concluded about the examined machine.
    pub fn is_examiners_own(&self) -> bool {
        matches!(self, Self::Examiner { .. })
    }

    /// Sorts an I/O error by whose trouble it is.
    pub(super) fn from_io(step: &'static str, expected: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused { step },
            ErrorKind::HostUnreachable => Self::Unreachable { step },
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::NotConnected => Self::Closed { step, expected },
            // The kernel gave up retransmitting before our own deadline did.
            ErrorKind::TimedOut => Self::Unreachable { step },
            _ => Self::Examiner {
                step,
                reason: error.to_string(),
            },
        }
    }

    pub(super) fn unexpected(step: &'static str, expected: &'static str, got: &[u8]) -> Self {
        Self::Unexpected {
            step,
            expected,
            got: printable(got),
        }
    }
}

/// The most characters of a wrong answer that are kept.
const GOT_MAX: usize = 120;

/// The first line of an answer, safe for a log: no control characters, a bounded length.
fn printable(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default().trim_end();
    let mut out: String = line
        .chars()
        .take(GOT_MAX)
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if line.chars().count() > GOT_MAX {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_step_expectation_and_answer() {
        let error = ProbeError::unexpected("SMTP EHLO", "250", b"451 try\x07 later\r\nmore");
        assert_eq!(
            error.to_string(),
            "SMTP EHLO: expected 250, got `451 try\u{fffd} later`"
        );
        assert!(!error.is_examiners_own());
    }

    #[test]
    fn a_long_answer_is_cut() {
        let error = ProbeError::unexpected("banner", "220", &[b'x'; 4000]);
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn our_own_trouble_is_told_apart() {
        let own = io::Error::from(ErrorKind::NetworkUnreachable);
        assert!(ProbeError::from_io("connect", "a connection", &own).is_examiners_own());
        let theirs = io::Error::from(ErrorKind::ConnectionReset);
        assert!(!ProbeError::from_io("connect", "a connection", &theirs).is_examiners_own());
    }
}
