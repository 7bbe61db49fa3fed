//! The keys of a cluster: one CA, a certificate for every server, a key that signs releases.
//!
//! All are Ed25519: small, and quick on the slowest server. A server's certificate names it (CN
//! and SAN) and is good both to serve and to call. `ca.key` and `release.key` belong in a safe
//! place and on no server; each server gets its own directory as its site medium.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use thiserror::Error;

use crate::cluster::ServerName;

/// Why keys could not be made or written.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The certificate library refused.
    #[error("make a certificate for {subject}: {cause}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// The error of the library.
        cause: rcgen::Error,
    },
    /// Keys are there already.
    #[error(
        "{0} exists; keys of a running cluster are never replaced: move it away, or choose another --out"
    )]
    Exists(PathBuf),
    /// The file system refused.
    #[error("write {path}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
}

/// First and last day of certificates, as year, month, day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first day.
    pub from: (i32, u8, u8),
    /// The last day.
    pub until: (i32, u8, u8),
}

impl Default for Validity {
    /// From 1970 (a server whose clock was lost must still reach its peers) to 2099.
    fn default() -> Self {
        Self {
            from: (1970, 1, 1),
            until: (2099, 12, 31),
        }
    }
}

/// Certificate and private key of one server, PEM.
#[derive(Clone)]
pub struct NodeKeys {
    /// `node.pem`
    pub certificate: String,
    /// `node.key`
    pub key: String,
}

/// All keys of a cluster.
#[derive(Clone)]
pub struct ClusterKeys {
    /// `ca.pem`, on every server.
    pub ca_certificate: String,
    /// `ca.key`, on no server.
    pub ca_key: String,
    /// One pair a server.
    pub nodes: BTreeMap<ServerName, NodeKeys>,
    /// `release.key`, on no server: PKCS #8, PEM.
    pub release_key: String,
    /// `release.pub`, on every server: 32 bytes in hexadecimal and a line end.
    pub release_public: String,
}

/// Makes all keys for `names`.
///
/// # Errors
/// [`KeysError::Certificate`] only; nothing is written.
pub fn make<'a>(
    names: impl IntoIterator<Item = &'a ServerName>,
    validity: Validity,
) -> Result<ClusterKeys, KeysError> {
    let ca_key = key_pair("the CA")?;
    let ca = ca_certificate(&ca_key, validity)?;
    let mut nodes = BTreeMap::new();
    for name in names {
        nodes.insert(name.clone(), node_keys(name, &ca, &ca_key, validity)?);
    }
    let release = key_pair("releases")?;
    Ok(ClusterKeys {
        ca_certificate: ca.pem(),
        ca_key: ca_key.serialize_pem(),
        nodes,
        release_key: release.serialize_pem(),
        release_public: format!("{}\n", crate::release::to_hex(release.public_key_raw())),
    })
}

impl ClusterKeys {
    /// The files of the site medium of `name`, by file name; none for a server without keys.
    pub fn medium(&self, name: &ServerName) -> Option<Vec<(&'static str, String)>> {
        let node = self.nodes.get(name)?;
        Some(vec![
            ("node.toml", format!("name = \"{name}\"\n")),
            ("ca.pem", self.ca_certificate.clone()),
            ("node.pem", node.certificate.clone()),
            ("node.key", node.key.clone()),
            ("release.pub", self.release_public.clone()),
        ])
    }

    /// Writes `ca.key`, `ca.pem`, `release.key`, `release.pub` and one directory a server to the
    /// new directory `out`, all or nothing.
    ///
    /// # Errors
    /// [`KeysError::Exists`] when `out` is there and not empty, or what the file system said.
    pub fn write(&self, out: &Path) -> Result<(), KeysError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| KeysError::Io { path, cause }
        };
        if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(KeysError::Exists(out.to_owned()));
        }
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = out.with_file_name(name);
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&part)(error));
            }
            _ => {}
        }
        let written = self.write_files(&part);
        let placed = written.and_then(|()| fs::rename(&part, out).map_err(failed(out)));
        if placed.is_err() {
            // The error that matters is the one already at hand.
            let _ = fs::remove_dir_all(&part);
        }
        placed
    }

    fn write_files(&self, out: &Path) -> Result<(), KeysError> {
        directory(out)?;
        file(&out.join("ca.pem"), &self.ca_certificate)?;
        file(&out.join("ca.key"), &self.ca_key)?;
        file(&out.join("release.key"), &self.release_key)?;
        file(&out.join("release.pub"), &self.release_public)?;
        for name in self.nodes.keys() {
            let own = out.join(name.as_str());
            directory(&own)?;
            for (leaf, text) in self.medium(name).unwrap_or_default() {
                file(&own.join(leaf), &text)?;
            }
        }
        Ok(())
    }
}

fn directory(path: &Path) -> Result<(), KeysError> {
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(|cause| KeysError::Io {
        path: path.to_owned(),
        cause,
    })
}

fn file(path: &Path, text: &str) -> Result<(), KeysError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(|cause| KeysError::Io {
            path: path.to_owned(),
            cause,
        })
}

fn key_pair(subject: &str) -> Result<KeyPair, KeysError> {
    let made = KeyPair::generate_for(&PKCS_ED25519);
    made.map_err(|cause| KeysError::Certificate {
        subject: subject.to_owned(),
        cause,
    })
}

fn parameters(subject: &str, validity: Validity) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, subject);
    let (year, month, day) = validity.from;
    parameters.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = validity.until;
    parameters.not_after = rcgen::date_time_ymd(year, month, day);
    parameters
}

fn ca_certificate(key: &KeyPair, validity: Validity) -> Result<Certificate, KeysError> {
    let mut ca = parameters("Ringward cluster", validity);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let made = ca.self_signed(key);
    made.map_err(|cause| KeysError::Certificate {
        subject: "the CA".to_owned(),
        cause,
    })
}

fn node_keys(
    name: &ServerName,
    ca: &Certificate,
    ca_key: &KeyPair,
    validity: Validity,
) -> Result<NodeKeys, KeysError> {
    let failed = |cause| KeysError::Certificate {
        subject: name.to_string(),
        cause,
    };
    let key = key_pair(name.as_str())?;
    let mut node = parameters(name.as_str(), validity);
    let dns = name.as_str().try_into().map_err(failed)?;
    node.subject_alt_names = vec![rcgen::SanType::DnsName(dns)];
    node.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    node.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    node.use_authority_key_identifier_extension = true;
    let certificate = node.signed_by(&key, ca, ca_key).map_err(failed)?;
    Ok(NodeKeys {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directory_is_whole_private_and_never_replaced() {
        let names: Vec<ServerName> = ["ftp", "mail"].map(|n| n.parse().unwrap()).into();
        let keys = make(&names, Validity::default()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("keys");
        keys.write(&out).unwrap();
        let key = out.join("ftp/node.key");
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let before = fs::read(&key).unwrap();
        assert!(matches!(keys.write(&out), Err(KeysError::Exists(_))));
        assert_eq!(fs::read(&key).unwrap(), before);
        assert_eq!(
            fs::read_to_string(out.join("ftp/node.toml")).unwrap(),
            "name = \"ftp\"\n"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
