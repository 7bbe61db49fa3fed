//! What people read: the system log in the paper's format, the journal, the status.
//!
//! The system log ([`SystemLog`]) is a product: experiments read times off it (paper, section
//! 4.2). Everything else that is worth a line goes through `tracing`, to the journal where there
//! is one ([`tell`]).

mod status;
mod tell;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cluster::ServerName;
use crate::share::{Journal, Share, ShareError};

pub use status::{
    ManagerStatus, PeerStatus, Status, StatusError, VipStatus, VmStatus, resident_kb,
};
pub use tell::{Audience, chain, tell};

/// The system log of one server: lines `hh:mm:ss.cc text`, UTC, to `log/<server>.log` on the share
/// and to the journal. Cheap to clone; nothing here ever waits.
///
/// While the share does not answer, lines wait in memory, up to
/// [`crate::share::JOURNAL_LIMIT_BYTES`]; the journal has them at once.
#[derive(Clone)]
pub struct SystemLog {
    shared: Option<Arc<Journal>>,
}

impl SystemLog {
    /// The log of `server` on `share`.
    ///
    /// # Errors
    /// Only when no thread is to be had; the share may be away.
    pub fn open(share: &Share, server: &ServerName) -> Result<Self, ShareError> {
        let journal = share.journal(&format!("log/{server}.log"))?;
        Ok(Self {
            shared: Some(Arc::new(journal)),
        })
    }

    /// A log that goes to the journal only.
    pub fn local() -> Self {
        Self { shared: None }
    }

    /// Writes what happened just now.
    pub fn line(&self, text: impl Display) {
        self.line_at(Timestamp::now(), text);
    }

    /// Writes what happened at `at`.
    pub fn line_at(&self, at: Timestamp, text: impl Display) {
        let line = format_line(at, text);
        tracing::info!(target: "ringward::system", "{line}");
        if let Some(journal) = &self.shared {
            journal.append(&line);
        }
    }

    /// Writes what happens once a second, which is not worth a line in the journal and reaches the
    /// share some seconds later.
    pub fn tick(&self, text: impl Display) {
        if let Some(journal) = &self.shared {
            journal.append_lazily(&format_line(Timestamp::now(), text));
        }
    }

    /// Waits until the share has everything, at most `within`; true if it has. Blocks: for the end
    /// of a program.
    pub fn flush(&self, within: Duration) -> bool {
        self.shared
            .as_ref()
            .is_none_or(|journal| journal.flush(within))
    }
}

/// A line of the system log: `12:53:52.13 text`. Several lines of text become one.
pub fn format_line(at: Timestamp, text: impl Display) -> String {
    let time = at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string();
    let hundredths = at.subsec_millisecond().unsigned_abs() / 10;
    let text = text.to_string().replace(['\n', '\r'], " ");
    format!("{time}.{hundredths:02} {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn lines_have_the_papers_format() {
        let line = format_line(
            at("2024-05-01T12:53:52.139Z"),
            "ftp: network trouble detected",
        );
        assert_eq!(line, "12:53:52.13 ftp: network trouble detected");
        assert_eq!(
            format_line(at("2024-05-01T00:00:00Z"), "__a\nb"),
            "00:00:00.00 __a b"
        );
    }

    #[test]
    fn lines_reach_the_share_in_order() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("log")).unwrap();
        let share = Share::open(directory.path(), Duration::from_secs(5));
        let log = SystemLog::open(&share, &"mail".parse().unwrap()).unwrap();
        log.line_at(at("2024-05-01T12:53:52.13Z"), "one");
        log.line_at(at("2024-05-01T12:53:53.13Z"), "__two");
        assert!(log.flush(Duration::from_secs(10)));
        let text = std::fs::read_to_string(directory.path().join("log/mail.log")).unwrap();
        assert_eq!(text, "12:53:52.13 one\n12:53:53.13 __two\n");
    }
}
