//! Copies from the share to the local disk: the signed release, the management data.
//!
//! What is on the local disk is always whole and checked: it is replaced only by something that
//! passed its check. So a server that finds the share away, or a bad file there, goes on with its
//! last good copy, and says so.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::check::{check, is_management_data};
use crate::release::{self, ReleaseError};
use crate::share::{Share, ShareError};
use crate::site::Paths;

/// Time to copy a release, 10 MB or so, over a busy network.
const COPY: Duration = Duration::from_secs(30);
const BINARY: &str = "ringward";
const SIGNATURE: &str = "ringward.sig";

/// Why there is no new copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The share does not give it.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// It is not a release of this cluster.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The local disk refused.
    #[error("keep a copy in {path}: {cause}")]
    Local {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
}

impl CopyError {
    /// Whether waiting may help: the share may come up a little later than this server.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Share(_))
    }
}

/// A release on the local disk, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) binary: PathBuf,
    pub(super) version: String,
}

/// The last good release, checked again: a disk may lie.
pub(super) fn last_good_release(paths: &Paths) -> Result<Release, ReleaseError> {
    let directory = paths.releases().join("current");
    let binary = directory.join(BINARY);
    let version = release::verify(&binary, &directory.join(SIGNATURE), &paths.release_key())?;
    Ok(Release { binary, version })
}

/// Makes the release on the share the last good one, unless it is already.
pub(super) async fn refresh_release(paths: &Paths, share: &Share) -> Result<Release, CopyError> {
    let current = paths.releases().join("current");
    let offered = share.read(&format!("release/{SIGNATURE}")).await?;
    if fs::read(current.join(SIGNATURE)).is_ok_and(|have| have == offered) {
        if let Ok(release) = last_good_release(paths) {
            return Ok(release);
        }
    }
    let part = paths.releases().join("new.part");
    let taken = take_release(paths, share, &offered, &part).await;
    if taken.is_err() {
        // The error that matters is the one already at hand.
        let _ = fs::remove_dir_all(&part);
    }
    taken
}

async fn take_release(
    paths: &Paths,
    share: &Share,
    signature: &[u8],
    part: &Path,
) -> Result<Release, CopyError> {
    remove_directory(part)?;
    local(part, fs::create_dir_all(part))?;
    let binary = part.join(BINARY);
    share
        .within(COPY)
        .copy_out(&format!("release/{BINARY}"), &binary)
        .await?;
    local(
        &binary,
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)),
    )?;
    let signature_file = part.join(SIGNATURE);
    local(&signature_file, write_synced(&signature_file, signature))?;
    release::verify(&binary, &signature_file, &paths.release_key())?;

    let mut name = release::digest(&binary)?;
    name.truncate(16);
    let home = paths.releases().join(&name);
    remove_directory(&home)?;
    local(&home, fs::rename(part, &home))?;
    let link = paths.releases().join("current.part");
    let _ = fs::remove_file(&link);
    local(&link, symlink(&name, &link))?;
    let current = paths.releases().join("current");
    local(&current, fs::rename(&link, &current))?;
    remove_others(&paths.releases(), &name);
    Ok(last_good_release(paths)?)
}

/// Copies every good management file of the share. Returns what is the matter with the others;
/// their last good copy stays.
pub(super) async fn refresh_data(paths: &Paths, share: &Share) -> Result<Vec<String>, CopyError> {
    let home = paths.last_good();
    local(&home, fs::create_dir_all(&home))?;
    let mut complaints = Vec::new();
    let names = share.list(".").await?;
    for name in names.iter().filter(|name| is_management_data(name)) {
        let bytes = match share.read(name).await {
            Ok(bytes) => bytes,
            // The next file would cost as much time again.
            Err(error @ ShareError::Deadline { .. }) => return Err(error.into()),
            Err(error) => {
                complaints.push(error.to_string());
                continue;
            }
        };
        if let Err(error) = check(name, &bytes) {
            complaints.push(error.to_string());
            continue;
        }
        let file = home.join(name);
        if fs::read(&file).is_ok_and(|have| have == bytes) {
            continue;
        }
        let part = home.join(format!(".{name}.part"));
        local(&part, write_synced(&part, &bytes))?;
        local(&file, fs::rename(&part, &file))?;
    }
    Ok(complaints)
}

fn local<T>(path: &Path, result: io::Result<T>) -> Result<T, CopyError> {
    result.map_err(|cause| CopyError::Local {
        path: path.to_owned(),
        cause,
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::File::open(path)?.sync_all()
}

fn remove_directory(path: &Path) -> Result<(), CopyError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => local(path, Err(error)),
        _ => Ok(()),
    }
}

/// Old releases only take room; that one of them stays is no reason to fail.
fn remove_others(releases: &Path, keep: &str) {
    for entry in fs::read_dir(releases).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name != keep && name != "current" {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
