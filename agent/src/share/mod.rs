//! The shared area on file server 1: whole-file reads and writes, claims, logs.
//!
//! The share is NFS, and an NFS call to a server that does not answer never returns. So no call
//! here touches a file on the caller's task: every operation is a job for a few worker threads
//! ([`pool`]) and has a deadline. A hung file server costs a caller that deadline and an error;
//! it never stops the node task, and it can never hold more than the pool's threads.
//!
//! What is written here is written whole: a temporary file in the same directory, `fsync`,
//! `rename`. Management files also carry a trailer with length and checksum ([`sealed`]), so that
//! a file that a crashed file server tore is noticed; the reader then keeps the last good one and
//! says so. Claims ([`claims`]) are created once and never changed; whether there is a newer one is
//! looked at all the time ([`watch`]).
//!
//! Directories of the share (`claims`, `load`, `log`, `backup` ...) are made with the share and, but
//! for those in `claims`, never by an agent: when the share is not mounted, a write must fail, not
//! land on the root disk of one server.
//!
//! Mount options that this module counts on: `lookupcache=none,actimeo=0`, because a cached
//! directory, or its times, would hide another server's claim for up to a minute. `hard` or `soft`
//! makes no difference here: after any error, whether a write took place is not known.

mod claims;
mod directory;
mod files;
mod journal;
mod pool;
mod sealed;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

pub use claims::{Claim, ClaimOutcome, ClaimSeen};
pub use files::{Checked, Freshness};
pub use journal::{JOURNAL_LIMIT_BYTES, Journal};
pub use sealed::{Damage, seal, unseal};

use crate::cluster::{Epoch, ServerName};
use pool::{Pool, Ticket};
use watch::Watches;

/// Worker threads of one [`Share`]: enough that one stuck file does not stop the others.
const WORKERS: usize = 4;
/// Operations that may wait for a worker; more than this fail at once.
const QUEUE_LIMIT: usize = 64;
/// The largest file that [`Share::read`] takes into memory, in bytes.
pub const READ_LIMIT_BYTES: u64 = 1 << 20;

/// Why an operation on the share failed.
#[derive(Debug, Error)]
pub enum ShareError {
    /// The file server did not answer in time. Whether a write took place is not known.
    #[error(
        "{doing} {path}: no answer from the file server within {} ms; is it up, and is the share mounted?",
        .deadline.as_millis()
    )]
    Deadline {
        /// What was being done.
        doing: &'static str,
        /// The file on the share.
        path: PathBuf,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// An earlier write to the same file has not come back, or too many operations wait.
    #[error(
        "{doing} {path}: an earlier operation still waits for the file server; try again later"
    )]
    Busy {
        /// What was being done.
        doing: &'static str,
        /// The file on the share.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{doing} {path}: {cause}{}", hint(.cause))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file on the share.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// The file is torn or was edited by hand, and no earlier good copy is known.
    #[error(
        "read {path}: {damage}, and no earlier good copy is known; restore the file, or seal it with `ringward data seal`"
    )]
    Damaged {
        /// The file on the share.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A path that leaves the share, or is empty.
    #[error("{0:?} is not the name of a file on the share")]
    BadName(String),
    /// A claim for something that this agent knows nothing of.
    #[error(
        "claim of {function} epoch {epoch}: its purpose is {purpose:?}, which this release does not know; is another server's newer?"
    )]
    Purpose {
        /// The function claimed.
        function: ServerName,
        /// The epoch claimed.
        epoch: Epoch,
        /// What it says.
        purpose: String,
    },
    /// A state may be replaced only by who made the claim.
    #[error("write state of {function} epoch {epoch}: the claim is held by {holder}")]
    NotHolder {
        /// The function claimed.
        function: ServerName,
        /// The epoch claimed.
        epoch: Epoch,
        /// Who holds it.
        holder: ServerName,
    },
}

impl ShareError {
    /// Whether the file simply does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}

/// What the operator can do about the commonest refusals.
fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => " (is the share mounted here, and complete?)",
        io::ErrorKind::PermissionDenied => {
            " (does file server 1 export the share to this server, with no_root_squash?)"
        }
        io::ErrorKind::ReadOnlyFilesystem => " (the share must be mounted read-write)",
        io::ErrorKind::StorageFull => " (make room on file server 1)",
        io::ErrorKind::InvalidData => {
            " (somebody may act under it: move it away only while all agents are stopped)"
        }
        _ => "",
    }
}

/// The shared area. Cheap to clone; all clones use the same worker threads.
#[derive(Clone)]
pub struct Share {
    inner: Arc<Inner>,
    deadline: Duration,
}

struct Inner {
    root: PathBuf,
    pool: Pool,
    /// Last good text of every checked file that was read or written, by name.
    good: Mutex<HashMap<String, String>>,
    watches: Arc<Watches>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("root", &self.inner.root)
            .field("deadline", &self.deadline)
            .finish()
    }
}

impl Share {
    /// The share mounted at `root`; every operation ends within `deadline`. Nothing is touched yet.
    pub fn open(root: impl Into<PathBuf>, deadline: Duration) -> Self {
        let inner = Inner {
            root: root.into(),
            pool: Pool::new(WORKERS, QUEUE_LIMIT),
            good: Mutex::new(HashMap::new()),
            watches: Arc::new(Watches::default()),
        };
        Self {
            inner: Arc::new(inner),
            deadline,
        }
    }

    /// The same share with another deadline, for operations that move much data.
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            deadline,
        }
    }

    /// Where the share is mounted.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Time allowed for one operation.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The path of `name` below the share's root; `name` must not leave it.
    fn path(&self, name: &str) -> Result<PathBuf, ShareError> {
        let relative = Path::new(name);
        let inside = relative
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        if name.is_empty() || !inside {
            return Err(ShareError::BadName(name.to_owned()));
        }
        Ok(self.inner.root.join(relative))
    }

    /// Runs `op` on a worker thread and waits for it until the deadline.
    async fn run<T, F>(&self, doing: &'static str, path: PathBuf, op: F) -> Result<T, ShareError>
    where
        T: Send + 'static,
        F: FnOnce(&Ticket, &Path) -> io::Result<T> + Send + 'static,
    {
        self.inner.pool.run(doing, path, self.deadline, op).await
    }

    fn remember(&self, name: &str, text: &str) {
        let mut good = self
            .inner
            .good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        good.insert(name.to_owned(), text.to_owned());
    }

    /// The last good text of the checked file `name` that this process read or wrote.
    pub fn last_good(&self, name: &str) -> Option<String> {
        let good = self
            .inner
            .good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        good.get(name).cloned()
    }
}

#[cfg(test)]
mod tests;
