//! What the node says about itself, for `ringward status`: a small file that it replaces about
//! once a second.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::{Epoch, Priority, ServerName};

/// A node that has not written for this long, in seconds, is stuck or gone.
const STALE_S: i64 = 5;

/// Why the status cannot be shown.
#[derive(Debug, Error)]
pub enum StatusError {
    /// There is none.
    #[error(
        "{0} does not exist: no node runs on this server (`ringward flag show`, `systemctl status ringward-executer`)"
    )]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{doing} {path}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// It is of another release.
    #[error("{path}: {cause}; the node is of another release than this command")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where it does not fit.
        cause: serde_json::Error,
    },
}

/// The state of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The server.
    pub server: String,
    /// Version of the release that runs.
    pub release: String,
    /// Process of the node.
    pub pid: u32,
    /// When the node started, UTC.
    pub started: String,
    /// When this was written, UTC.
    pub updated: String,
    /// The group, in ring order.
    pub group: Vec<ServerName>,
    /// The own function.
    pub vip: Option<VipStatus>,
    /// The management programs that run here.
    pub managers: Vec<ManagerStatus>,
    /// The backup VMs that are here.
    pub vms: Vec<VmStatus>,
    /// The connections to the others.
    pub peers: Vec<PeerStatus>,
    /// `answers`, or what was the matter last.
    pub share: String,
    /// Resident memory of the node, in KiB.
    pub resident_kb: u64,
}

/// The virtual IP of the own function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipStatus {
    /// The address.
    pub address: Ipv4Addr,
    /// Whether this server holds it.
    pub held: bool,
    /// Under which claim.
    pub epoch: Epoch,
}

/// One management program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerStatus {
    /// P1 or P2.
    pub priority: Priority,
    /// Whom it manages.
    pub target: ServerName,
    /// The mode, in words.
    pub mode: String,
}

/// One backup VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    /// Its host name.
    pub name: ServerName,
    /// `standby`: loaded and paused; `cached`: not a machine yet, its state was read ahead; `running`;
    /// `serving`.
    pub state: String,
}

/// The connection to one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer.
    pub name: ServerName,
    /// Whether our connection to it is up.
    pub up: bool,
    /// Why it is not.
    pub why: Option<String>,
    /// How long ago it was heard, in milliseconds.
    pub heard_ms: Option<u64>,
}

impl Status {
    /// Replaces the file `path`, with the time and this process filled in.
    ///
    /// # Errors
    /// [`StatusError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), StatusError> {
        let failed = |doing| {
            let path = path.to_owned();
            move |cause| StatusError::Io { doing, path, cause }
        };
        let status = Self {
            pid: std::process::id(),
            updated: Timestamp::now().to_string(),
            resident_kb: resident_kb().unwrap_or_default(),
            ..self.clone()
        };
        let json = serde_json::to_vec(&status).map_err(|e| failed("encode")(e.into()))?;
        let part = path.with_extension("part");
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("make the directory of"))?;
        }
        fs::write(&part, json).map_err(failed("write"))?;
        fs::rename(&part, path).map_err(failed("replace"))
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn read(path: &Path) -> Result<Self, StatusError> {
        let bytes = fs::read(path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => StatusError::Missing(path.to_owned()),
            _ => StatusError::Io {
                doing: "read",
                path: path.to_owned(),
                cause,
            },
        })?;
        serde_json::from_slice(&bytes).map_err(|cause| StatusError::Format {
            path: path.to_owned(),
            cause,
        })
    }

    /// How old the status is when the node should have renewed it by now, in seconds.
    pub fn stale_s(&self, now: Timestamp) -> Option<i64> {
        let updated: Timestamp = self.updated.parse().ok()?;
        let age_s = now.as_second() - updated.as_second();
        (age_s > STALE_S).then_some(age_s)
    }
}

/// Resident memory of this process, in KiB.
pub fn resident_kb() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_reads_back_and_tells_its_age() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.json");
        assert!(matches!(Status::read(&path), Err(StatusError::Missing(_))));
        let status = Status {
            server: "mail".to_owned(),
            ..Status::default()
        };
        status.write(&path).unwrap();
        let read = Status::read(&path).unwrap();
        assert_eq!(
            (read.server.as_str(), read.pid),
            ("mail", std::process::id())
        );
        assert!(read.resident_kb > 0);
        let now = Timestamp::now();
        assert_eq!(read.stale_s(now), None);
        let later = now + jiff::SignedDuration::from_secs(60);
        assert!(
            read.stale_s(later)
                .is_some_and(|age| (59..=61).contains(&age))
        );
        fs::write(&path, "{").unwrap();
        assert!(matches!(
            Status::read(&path),
            Err(StatusError::Format { .. })
        ));
    }
}
