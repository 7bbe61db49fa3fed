//! Where things are on a server, and which server it is.
//!
//! All paths can be moved by flags, so that tests and the lab run the real program anywhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::ServerName;

/// The directories of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The site medium: name, keys, accounts. Read-only.
    pub site: PathBuf,
    /// What this server keeps: flag file, last good release and management data.
    pub state: PathBuf,
    /// The shared area of file server 1.
    pub share: PathBuf,
    /// What is gone after a restart: the status.
    pub run: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            site: "/etc/ringward".into(),
            state: "/var/lib/ringward".into(),
            share: "/share".into(),
            run: "/run/ringward".into(),
        }
    }
}

impl Paths {
    /// The flag file (paper, section 2.3): while it exists, this server manages.
    pub fn flag(&self) -> PathBuf {
        self.state.join("flag")
    }

    /// The last good copy of the agent: a directory a version, and the link `current`.
    pub fn releases(&self) -> PathBuf {
        self.state.join("release")
    }

    /// The last good copy of the management data, laid out like the share.
    pub fn last_good(&self) -> PathBuf {
        self.state.join("share")
    }

    /// The public key that releases are checked with.
    pub fn release_key(&self) -> PathBuf {
        self.site.join("release.pub")
    }

    /// The private key of the account that examines SSH.
    pub fn probe_key(&self) -> PathBuf {
        self.site.join("probe.key")
    }

    /// The status that the node writes.
    pub fn status(&self) -> PathBuf {
        self.run.join("status.json")
    }
}

/// `node.toml` of the site medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The name of this server, as in the group file.
    pub name: ServerName,
    /// The network device on the LAN: a bridge, so that backup VMs can join it.
    #[serde(default = "device")]
    pub device: String,
}

fn device() -> String {
    "br0".to_owned()
}

/// Why it is not known which server this is.
#[derive(Debug, Error)]
pub enum SiteError {
    /// No site medium.
    #[error("read {path}: {cause}; is the site medium (volume RINGWARD) in and mounted?")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// A setting is missing, unknown or of the wrong kind.
    #[error("{path}: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what, with the line shown.
        reason: String,
    },
}

impl Site {
    /// Reads `node.toml` in the directory `site`.
    ///
    /// # Errors
    /// [`SiteError`].
    pub fn load(site: &Path) -> Result<Self, SiteError> {
        let path = site.join("node.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                let reason = error.to_string().trim_end().to_owned();
                SiteError::Syntax { path, reason }
            }),
            Err(cause) => Err(SiteError::Read { path, cause }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_required_and_unknown_settings_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(matches!(Site::load(path), Err(SiteError::Read { .. })));
        fs::write(path.join("node.toml"), "name = \"ftp\"\n").unwrap();
        let site = Site::load(path).unwrap();
        assert_eq!((site.name.as_str(), site.device.as_str()), ("ftp", "br0"));
        for wrong in ["", "name = \"a b\"", "name = \"ftp\"\ndevise = \"br1\""] {
            fs::write(path.join("node.toml"), wrong).unwrap();
            assert!(
                matches!(Site::load(path), Err(SiteError::Syntax { .. })),
                "{wrong}"
            );
        }
    }
}
