//! A release of the agent: signed, and handed out to a lab that is up.

use super::error::{LabError, Result};
use super::machine::Machine;
use super::site::other;
use ringward::release;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a release on the share, with their modes; what makes it complete comes last.
pub const RELEASE: [(&str, u32); 3] = [
    ("ringward", 0o755),
    ("version", 0o644),
    ("ringward.sig", 0o644),
];

/// Signs `agent` with the key file `key`; the release is in a directory in `scratch` then.
pub fn sign(agent: &Path, key: &Path, scratch: &Path) -> Result<PathBuf> {
    let out = scratch.join("release");
    let digest = release::digest(agent).map_err(other("sign the agent"))?;
    let version = format!("{}-{}", env!("CARGO_PKG_VERSION"), &digest[..12]);
    release::sign(agent, &version, key, &out).map_err(other("sign the agent"))?;
    Ok(out)
}

/// Signs `agent` with the key file `key` and puts it on the share of machines that are up.
pub fn hand_out(machines: &[Arc<Machine>], agent: &Path, key: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(other("sign the agent"))?;
    let signed = sign(agent, key, scratch.path())?;
    let Some(file1) = machines.iter().find(|m| m.spec.name == "file1") else {
        return Ok(());
    };
    for (leaf, mode) in RELEASE {
        let path = signed.join(leaf);
        let content = std::fs::read(&path).map_err(LabError::io("read", &path))?;
        let (to, fresh) = (format!("/share/release/{leaf}"), "/share/release/.fresh");
        file1.guest.write_file(fresh, &content)?;
        file1.script(&format!("chmod {mode:o} {fresh} && mv {fresh} {to}"))?;
    }
    Ok(())
}
