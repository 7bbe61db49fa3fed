//! `ringward keys` and `ringward release`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use ringward::keys::{self, Validity};
use ringward::release;

use super::ring::read_group;

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a CA, a certificate and key for every server of a group, and a key for releases
    ///
    /// DIR/<server>/ goes on the site medium of that server. ca.key and release.key go on none.
    Make {
        /// The group file, whose servers get keys
        #[arg(long, value_name = "FILE")]
        group: PathBuf,
        /// New directory for the keys
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl KeysCommand {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self::Make { group, out } = self;
        let group = read_group(&group)?;
        let keys = keys::make(group.names(), Validity::default())?;
        keys.write(&out)?;
        println!("keys of {} servers in {}", keys.nodes.len(), out.display());
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum ReleaseCommand {
    /// Sign an agent and put it into a directory, the `release` of a share
    Sign {
        /// The agent
        binary: PathBuf,
        /// release.key of the cluster
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The directory `release` of the share
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Version of the release [default: version of this program]
        #[arg(long = "as", value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"), hide_default_value = true)]
        version: String,
    },
    /// Check a signed agent
    Verify {
        /// The directory with ringward and ringward.sig
        release: PathBuf,
        /// release.pub of the cluster
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

impl ReleaseCommand {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Sign {
                binary,
                key,
                out,
                version,
            } => {
                release::sign(&binary, &version, &key, &out)?;
                println!("release {version} in {}", out.display());
            }
            Self::Verify { release, key } => {
                let binary = release.join("ringward");
                let version = release::verify(&binary, &release.join("ringward.sig"), &key)?;
                println!("release {version}, signed by this cluster's key");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
