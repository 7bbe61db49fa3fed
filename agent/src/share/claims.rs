//! Claims: who may act for a function in an epoch (safety rule 1).
//!
//! `claims/<function>/<epoch>.claim` is created once, by `link` from a complete, synced temporary
//! file, and never changed. `link` either makes the name or fails because it is there, on the file
//! server, in one step. NFS may send a `link` twice and report the second as "exists", so who was
//! first is not what `link` said but whose nonce is read back.
//!
//! `claims/<function>/<epoch>.state` is how far the holder got; only the holder replaces it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cluster::{Epoch, ServerName};

use super::directory::Directory;
use super::files::{nonce, replace_in};
use super::pool::Ticket;
use super::sealed::{seal, unseal};
use super::{Share, ShareError};

/// The content of a claim file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The function: the name of the server whose function it is.
    pub function: ServerName,
    /// The epoch claimed.
    pub epoch: Epoch,
    /// The server that claims.
    pub owner: ServerName,
    /// Tells this claim from every other, also of the same owner.
    pub nonce: String,
    /// When it was made, UTC; for people, never compared.
    pub made: String,
    /// What it is for, in the claimant's words.
    #[serde(default)]
    pub purpose: String,
}

impl Claim {
    /// A claim that is not yet on the share. Keep it: trying the same claim again after a deadline
    /// finds out whether the first try succeeded.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new(
        function: &ServerName,
        epoch: Epoch,
        owner: &ServerName,
    ) -> Result<Self, ShareError> {
        let nonce = nonce().map_err(|cause| ShareError::Io {
            doing: "make a nonce for",
            path: format!("claims/{function}/{epoch}.claim").into(),
            cause,
        })?;
        let made = jiff::Timestamp::now().to_string();
        Ok(Self {
            function: function.clone(),
            epoch,
            owner: owner.clone(),
            nonce,
            made,
            purpose: String::new(),
        })
    }

    fn name(&self) -> String {
        format!("claims/{}/{}.claim", self.function, self.epoch)
    }
}

/// What came of an attempt to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The epoch is ours.
    Claimed,
    /// Another claim was first.
    HeldBy(Claim),
}

/// A claim found on the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSeen {
    /// The claim.
    pub claim: Claim,
    /// What the holder last wrote, if anything whole.
    pub state: Option<String>,
}

impl Share {
    /// Tries to become the holder of `claim.epoch`.
    ///
    /// # Errors
    /// After [`ShareError::Deadline`] the claim may or may not have been made: call again with the
    /// same `claim`, which is safe any number of times.
    pub async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, ShareError> {
        let mine = claim.clone();
        let text = to_text(claim)?;
        let op = move |ticket: &Ticket, path: &Path| {
            let (directory, name) = match Directory::of(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    path.parent().map_or(Ok(()), create_directory)?;
                    Directory::of(path)?
                }
                found => found?,
            };
            let temporary = directory.write_temporary(&name, text.as_bytes())?;
            let linked = ticket
                .wanted()
                .and_then(|()| directory.link(&temporary, &name));
            let _ = directory.remove(&temporary);
            match linked {
                Ok(()) => directory.sync()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            parse(&directory.read(&name)?)
        };
        let path = self.path(&claim.name())?;
        let found = self
            .inner
            .pool
            .run_write("claim", path, self.deadline, op)
            .await?;
        let won = found.nonce == mine.nonce && found.owner == mine.owner;
        Ok(if won {
            ClaimOutcome::Claimed
        } else {
            ClaimOutcome::HeldBy(found)
        })
    }

    /// Makes the place of the claims on `function`, if it is not there: to look for the first of them
    /// then costs no more than for the next, and nobody is disturbed by others' first ones.
    ///
    /// # Errors
    /// As every operation; so is a share without `claims`.
    pub async fn make_room_for_claims(&self, function: &ServerName) -> Result<(), ShareError> {
        let path = self.path(&format!("claims/{function}"))?;
        self.run("make", path, |_, path| create_directory(path))
            .await
    }

    /// The newest claim on `function`, if there ever was one. Costs next to nothing while nothing
    /// changes: it is asked for all the time.
    ///
    /// # Errors
    /// As every operation. So is a claim that is damaged: somebody may act under it.
    pub async fn newest_claim(
        &self,
        function: &ServerName,
    ) -> Result<Option<ClaimSeen>, ShareError> {
        let path = self.path(&format!("claims/{function}"))?;
        let watches = Arc::clone(&self.inner.watches);
        self.run("look for the newest claim in", path, move |_, path| {
            watches.newest(path)
        })
        .await
    }

    /// Replaces the state of a claim that we hold.
    ///
    /// # Errors
    /// [`ShareError::NotHolder`] when the claim on the share is another one.
    pub async fn replace_state(&self, claim: &Claim, state: &str) -> Result<(), ShareError> {
        let (nonce, file) = (claim.nonce.clone(), format!("{}.claim", claim.epoch));
        let bytes = seal(state).into_bytes();
        let op = move |ticket: &Ticket, path: &Path| {
            let (directory, name) = Directory::of(path)?;
            let found = parse(&directory.read(&file)?)?;
            if found.nonce != nonce {
                return Ok(Some(found.owner));
            }
            replace_in(&directory, &name, &bytes, ticket)?;
            Ok(None)
        };
        let path = self.path(&format!("claims/{}/{}.state", claim.function, claim.epoch))?;
        let pool = &self.inner.pool;
        let other = pool.run_write("replace", path, self.deadline, op).await?;
        match other {
            None => Ok(()),
            Some(holder) => Err(ShareError::NotHolder {
                function: claim.function.clone(),
                epoch: claim.epoch,
                holder,
            }),
        }
    }
}

fn to_text(claim: &Claim) -> Result<String, ShareError> {
    let json = serde_json::to_string(claim).map_err(|e| ShareError::Io {
        doing: "encode",
        path: claim.name().into(),
        cause: e.into(),
    })?;
    Ok(seal(&json))
}

fn parse(bytes: &[u8]) -> io::Result<Claim> {
    let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let text =
        unseal(bytes).map_err(|damage| damaged(format!("the claim is damaged: {damage}")))?;
    serde_json::from_str(text).map_err(|e| damaged(format!("the claim is damaged: {e}")))
}

/// Makes `claims/<function>`, but not `claims` itself: it comes with the share.
fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The newest claim among the files of the directory of a function. `known` was read there before: a
/// claim that is there never changes.
pub(super) fn newest_of(
    directory: &Directory,
    function: &OsStr,
    known: Option<&ClaimSeen>,
) -> io::Result<Option<ClaimSeen>> {
    let names = directory.names()?;
    let epochs = names.iter();
    let epochs = epochs.filter_map(|name| name.strip_suffix(".claim")?.parse().ok());
    let Some(epoch) = epochs.max().map(Epoch) else {
        return Ok(None);
    };
    let claim = match known.filter(|known| known.claim.epoch == epoch) {
        Some(known) => known.claim.clone(),
        None => read(directory, function, epoch)?,
    };
    let name = format!("{epoch}.state");
    let state = if names.contains(&name) {
        let bytes = directory.read(&name)?;
        unseal(&bytes).ok().map(str::to_owned)
    } else {
        None
    };
    Ok(Some(ClaimSeen { claim, state }))
}

fn read(directory: &Directory, function: &OsStr, epoch: Epoch) -> io::Result<Claim> {
    let name = format!("{epoch}.claim");
    let claim = parse(&directory.read(&name)?)
        .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if claim.epoch == epoch && function == claim.function.as_str() {
        Ok(claim)
    } else {
        let why = format!(
            "{name}: the claim is damaged: it is of {} epoch {}",
            claim.function, claim.epoch
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}
