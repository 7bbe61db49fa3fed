//! Whole files: read, replace, list, copy to the local disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::directory::{Directory, read_limited, temporary_name};
use super::pool::Ticket;
use super::sealed::{Damage, seal, unseal};
use super::{Share, ShareError};

/// Whether the text is what is on the share now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Read from the share just now, and whole.
    Current,
    /// The file on the share is damaged; this is the last good text.
    Previous(Damage),
}

/// The text of a management file, without its trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The lines of the file.
    pub text: String,
    /// Whether they are what is on the share now.
    pub freshness: Freshness,
}

impl Share {
    /// All bytes of `name`, at most [`READ_LIMIT_BYTES`].
    ///
    /// # Errors
    /// As every operation: deadline, or what the file system said.
    pub async fn read(&self, name: &str) -> Result<Vec<u8>, ShareError> {
        self.run("read", self.path(name)?, |_, path| {
            read_limited(File::open(path)?)
        })
        .await
    }

    /// The text of the management file `name`, its trailer checked.
    ///
    /// A damaged file is read once more; if it still is damaged, the last good text is returned,
    /// marked [`Freshness::Previous`].
    ///
    /// # Errors
    /// [`ShareError::Damaged`] when there is no earlier good text, and the usual ones.
    pub async fn read_checked(&self, name: &str) -> Result<Checked, ShareError> {
        let mut damage = Damage::NoTrailer;
        for _ in 0..2 {
            let bytes = self.read(name).await?;
            match unseal(&bytes) {
                Ok(text) => {
                    self.remember(name, text);
                    return Ok(Checked {
                        text: text.to_owned(),
                        freshness: Freshness::Current,
                    });
                }
                Err(found) => damage = found,
            }
        }
        match self.last_good(name) {
            Some(text) => {
                tracing::warn!(
                    "{name} on the share is damaged ({damage}); the last good copy stays in use"
                );
                Ok(Checked {
                    text,
                    freshness: Freshness::Previous(damage),
                })
            }
            None => Err(ShareError::Damaged {
                path: self.path(name)?,
                damage,
            }),
        }
    }

    /// Replaces the management file `name` by `text` and a trailer, whole or not at all. What is there
    /// already is only read, which costs the file server a fraction.
    ///
    /// # Errors
    /// After [`ShareError::Deadline`] either the old or the new text is there.
    pub async fn replace(&self, name: &str, text: &str) -> Result<(), ShareError> {
        let bytes = seal(text).into_bytes();
        let op = move |ticket: &Ticket, path: &Path| {
            let (directory, name) = Directory::of(path)?;
            if directory.read(&name).is_ok_and(|there| there == bytes) {
                return Ok(());
            }
            replace_in(&directory, &name, &bytes, ticket)
        };
        self.inner
            .pool
            .run_write("replace", self.path(name)?, self.deadline, op)
            .await?;
        self.remember(name, text);
        Ok(())
    }

    /// Names in the directory `name`, sorted; temporary files are left out. `.` is the root.
    ///
    /// # Errors
    /// As every operation.
    pub async fn list(&self, name: &str) -> Result<Vec<String>, ShareError> {
        let directory = if name == "." {
            self.root().to_owned()
        } else {
            self.path(name)?
        };
        self.run("list", directory, |_, path| Directory::open(path)?.names())
            .await
    }

    /// Copies `name` to the local file `to`, whole or not at all, and returns its length in bytes.
    ///
    /// # Errors
    /// As every operation; give large files more time with [`Share::within`].
    pub async fn copy_out(&self, name: &str, to: &Path) -> Result<u64, ShareError> {
        let to = to.to_owned();
        let op = move |ticket: &Ticket, from: &Path| {
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            let temporary = to.with_file_name(temporary_name(&name)?);
            let copied = copy_synced(from, &temporary)
                .and_then(|length| ticket.wanted().map(|()| length))
                .and_then(|length| fs::rename(&temporary, &to).map(|()| length));
            if copied.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            copied
        };
        self.run("copy", self.path(name)?, op).await
    }
}

/// Replaces the file `name` of a directory, whole or not at all.
pub(super) fn replace_in(
    directory: &Directory,
    name: &str,
    bytes: &[u8],
    ticket: &Ticket,
) -> io::Result<()> {
    let temporary = directory.write_temporary(name, bytes)?;
    let placed = ticket
        .wanted()
        .and_then(|()| directory.rename(&temporary, name));
    if placed.is_err() {
        let _ = directory.remove(&temporary);
    }
    placed?;
    directory.sync()
}

/// Sixteen random hexadecimal digits.
pub(super) fn nonce() -> io::Result<String> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the kernel gave no random bytes"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

fn copy_synced(from: &Path, to: &Path) -> io::Result<u64> {
    let length = fs::copy(from, to)?;
    File::open(to)?.sync_all()?;
    Ok(length)
}
