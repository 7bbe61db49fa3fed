//! `cluster.toml`, the one file of settings for a whole cluster.
//!
//! ```toml
//! profile = "paper"          # or "fast"
//! topology = "ring"          # or "star"
//! activation = "standby"     # or "restore"
//!
//! [timings]                  # seconds; each in place of the profile's
//! t_rc = 45.0
//!
//! [probe]                    # accounts that examinations log in with
//! user = "probe"
//! password = "..."
//! proxy_url = "http://172.21.14.202/"
//! ```

use serde::{Deserialize, Serialize};

use super::{Profile, Timings, TimingsOverride, Topology};

/// How a golden state becomes a serving VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Kept loaded and paused on the peer that placement favours; resuming takes under a
    /// second and the memory of one VM a server.
    #[default]
    Standby,
    /// Restored from the share when needed, which takes seconds. Two peers, half of the ring apart, have
    /// read the state before, into memory that whoever needs it takes back.
    Restore,
}

/// What examinations log in with. One account on all servers, allowed nothing else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeAccounts {
    /// User for IMAP and SSH.
    pub user: String,
    /// Password for IMAP.
    pub password: String,
    /// User for FTP; `anonymous` needs no account.
    pub ftp_user: String,
    /// Password for FTP.
    pub ftp_password: String,
    /// What is fetched through the proxy.
    pub proxy_url: String,
}

impl Default for ProbeAccounts {
    fn default() -> Self {
        Self {
            user: "probe".to_owned(),
            password: String::new(),
            ftp_user: "anonymous".to_owned(),
            ftp_password: "probe@".to_owned(),
            proxy_url: String::new(),
        }
    }
}

impl std::fmt::Debug for ProbeAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProbeAccounts")
            .field("user", &self.user)
            .field("ftp_user", &self.ftp_user)
            .field("proxy_url", &self.proxy_url)
            .finish_non_exhaustive()
    }
}

/// All settings of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The profile the timings started from.
    pub profile: Profile,
    /// Who manages whom.
    pub topology: Topology,
    /// How backup VMs are activated.
    pub activation: Activation,
    /// The timings in force.
    pub timings: Timings,
    /// Accounts for examinations.
    pub probe: ProbeAccounts,
}

/// A `cluster.toml` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, an unknown setting, or a value of the wrong kind.
    #[error("{file}: {reason}")]
    Syntax {
        /// The file as the caller named it.
        file: String,
        /// Where and what, with the line shown.
        reason: String,
    },
    /// A timing that cannot be, alone or beside the others.
    #[error("{file}: [timings] {reason}")]
    Timing {
        /// The file as the caller named it.
        file: String,
        /// Which setting, its value, and what was expected.
        reason: String,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    profile: Profile,
    topology: Topology,
    activation: Activation,
    timings: TimingsOverride,
    probe: ProbeAccounts,
}

impl Settings {
    /// Reads `cluster.toml`; `file` is only used to name it in errors. An empty file gives
    /// the defaults.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let read: File = toml::from_str(text).map_err(|error| SettingsError::Syntax {
            file: file.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let timings = Timings::profile(read.profile)
            .with(&read.timings)
            .map_err(|reason| SettingsError::Timing {
                file: file.to_owned(),
                reason,
            })?;
        Ok(Self {
            profile: read.profile,
            topology: read.topology,
            activation: read.activation,
            timings,
            probe: read.probe,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_gives_the_papers_settings() {
        let settings = Settings::parse("cluster.toml", "").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.timings.t_rc.as_secs(), 88);
    }

    #[test]
    fn settings_are_read() {
        let text = "profile = \"fast\"\ntopology = \"star\"\nactivation = \"restore\"\n\
                    [timings]\nt_rc = 45\n[probe]\npassword = \"x\"\n";
        let settings = Settings::parse("cluster.toml", text).unwrap();
        assert_eq!(settings.topology, Topology::Star);
        assert_eq!(settings.activation, Activation::Restore);
        assert_eq!(settings.timings.t_rc.as_secs(), 45);
        assert!(!format!("{settings:?}").contains("password"));
    }

    #[test]
    fn bad_settings_are_named() {
        let mut report = String::new();
        for bad in [
            "profle = \"paper\"",
            "profile = \"slow\"",
            "[timings]\nt_imm = 3",
            "[timings]\nt_im = \"3 s\"",
            "[timings]\nt_im = 1",
            "topology =",
        ] {
            report.push_str(&format!(
                "{}\n",
                Settings::parse("cluster.toml", bad).unwrap_err()
            ));
        }
        insta::assert_snapshot!(report);
    }
}
