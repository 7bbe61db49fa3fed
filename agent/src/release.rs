//! Releases of the agent: what is signed, how, and how a server checks it.
//!
//! `release/ringward.sig` is text:
//!
//! ```text
//! version 0.1.0
//! sha256 <64 hexadecimal digits>
//! ed25519 <128 hexadecimal digits>
//! ```
//!
//! The signature covers the first two lines, so a release cannot be passed off as another version.
//! The binary itself is read as a stream: checking it costs no memory.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Why a release was not signed or not accepted.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// A file could not be read or written.
    #[error("{doing} {path}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// The private key is of no use.
    #[error("{path}: {why}; expected the release.key that `ringward keys make` wrote")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The public key is of no use.
    #[error("{path}: expected 64 hexadecimal digits (the release.pub of this cluster)")]
    PublicKey {
        /// The file.
        path: PathBuf,
    },
    /// The signature file does not have its three lines.
    #[error("{path}:{line}: expected {expected}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The binary is not the one that was signed.
    #[error(
        "{path}: its SHA-256 is not the signed one; the copy is torn, or the file was changed after `ringward release sign`"
    )]
    Digest {
        /// The binary.
        path: PathBuf,
    },
    /// The signature is not by this cluster's release key.
    #[error(
        "{path}: the signature is not by the key in release.pub; sign the release with this cluster's release.key"
    )]
    Forged {
        /// The signature file.
        path: PathBuf,
    },
    /// The version is not one word.
    #[error("version {0:?}: expected one word, at most 64 bytes, like 0.1.0")]
    Version(String),
}

/// Signs `binary` as `version` and writes `ringward`, `ringward.sig` and `version` to `out`,
/// the directory `release` of a share; `version` last, so that it never announces a half release.
///
/// # Errors
/// [`ReleaseError`]; after an error, what was there before is still usable.
pub fn sign(binary: &Path, version: &str, key: &Path, out: &Path) -> Result<(), ReleaseError> {
    check_version(version)?;
    let bad_key = |why: String| ReleaseError::Key {
        path: key.to_owned(),
        why,
    };
    let pem = fs::read(key).map_err(io_error("read", key))?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| bad_key(e.to_string()))?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|e| bad_key(e.to_string()))?;
    fs::create_dir_all(out).map_err(io_error("create", out))?;

    let part = out.join(".ringward.part");
    fs::copy(binary, &part).map_err(io_error("copy", binary))?;
    let head = head(version, &digest(&part)?);
    let text = format!(
        "{head}ed25519 {}\n",
        to_hex(pair.sign(head.as_bytes()).as_ref())
    );
    let target = out.join("ringward");
    fs::rename(&part, &target).map_err(io_error("write", &target))?;
    replace(&out.join("ringward.sig"), &text)?;
    replace(&out.join("version"), &format!("{version}\n"))
}

/// Checks `binary` against `signature` and the key in `public_key`; returns the signed version.
///
/// # Errors
/// [`ReleaseError`] that says which of the three files does not fit, and how.
pub fn verify(binary: &Path, signature: &Path, public_key: &Path) -> Result<String, ReleaseError> {
    let text = fs::read_to_string(public_key).map_err(io_error("read", public_key))?;
    let key = from_hex(text.trim())
        .filter(|key| key.len() == 32)
        .ok_or_else(|| ReleaseError::PublicKey {
            path: public_key.to_owned(),
        })?;
    let text = fs::read_to_string(signature).map_err(io_error("read", signature))?;
    let mut lines = text.lines();
    let mut field = |line, name: &str, expected| {
        let found = lines
            .next()
            .and_then(|text| text.strip_prefix(name)?.strip_prefix(' '));
        found.ok_or(ReleaseError::Signature {
            path: signature.to_owned(),
            line,
            expected,
        })
    };
    let version = field(1, "version", "`version <word>`")?;
    let signed_digest = field(2, "sha256", "`sha256 <64 hexadecimal digits>`")?;
    let signed = field(3, "ed25519", "`ed25519 <128 hexadecimal digits>`")?;
    check_version(version)?;
    let forged = || ReleaseError::Forged {
        path: signature.to_owned(),
    };
    let signed = from_hex(signed).ok_or_else(forged)?;
    UnparsedPublicKey::new(&ED25519, &key)
        .verify(head(version, signed_digest).as_bytes(), &signed)
        .map_err(|_| forged())?;
    if digest(binary)? != signed_digest {
        return Err(ReleaseError::Digest {
            path: binary.to_owned(),
        });
    }
    Ok(version.to_owned())
}

fn head(version: &str, digest: &str) -> String {
    format!("version {version}\nsha256 {digest}\n")
}

fn check_version(version: &str) -> Result<(), ReleaseError> {
    let word = version.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if word && (1..=64).contains(&version.len()) && !version.starts_with('.') {
        Ok(())
    } else {
        Err(ReleaseError::Version(version.to_owned()))
    }
}

fn replace(path: &Path, text: &str) -> Result<(), ReleaseError> {
    let part = path.with_extension("part");
    fs::write(&part, text)
        .and_then(|()| File::open(&part)?.sync_all())
        .and_then(|()| fs::rename(&part, path))
        .map_err(io_error("write", path))
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`ReleaseError::Io`].
pub fn digest(path: &Path) -> Result<String, ReleaseError> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(to_hex(context.finish().as_ref())),
            Ok(length) => context.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("read", path)(error)),
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    let path = path.to_owned();
    move |cause| ReleaseError::Io { doing, path, cause }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() % 2 != 0 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Validity, make};

    struct Site(tempfile::TempDir);

    impl Site {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let keys = make([], Validity::default()).unwrap();
            let path = directory.path();
            fs::write(path.join("release.key"), &keys.release_key).unwrap();
            fs::write(path.join("release.pub"), &keys.release_public).unwrap();
            fs::write(path.join("agent"), vec![7; 200_000]).unwrap();
            Self(directory)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn sign(&self, version: &str) -> Result<(), ReleaseError> {
            let (agent, key) = (self.path("agent"), self.path("release.key"));
            sign(&agent, version, &key, &self.path("release"))
        }

        fn verify(&self) -> Result<String, ReleaseError> {
            let (binary, signature) = (
                self.path("release/ringward"),
                self.path("release/ringward.sig"),
            );
            verify(&binary, &signature, &self.path("release.pub"))
        }
    }

    #[test]
    fn what_was_signed_is_accepted() {
        let site = Site::new();
        site.sign("0.1.0+2f").unwrap();
        assert_eq!(site.verify().unwrap(), "0.1.0+2f");
        assert_eq!(
            fs::read_to_string(site.path("release/version")).unwrap(),
            "0.1.0+2f\n"
        );
    }

    #[test]
    fn anything_changed_is_refused() {
        let site = Site::new();
        site.sign("1").unwrap();
        let signature = site.path("release/ringward.sig");
        let text = fs::read_to_string(&signature).unwrap();

        fs::write(&signature, text.replace("version 1", "version 2")).unwrap();
        assert!(matches!(site.verify(), Err(ReleaseError::Forged { .. })));
        fs::write(&signature, &text[..20]).unwrap();
        assert!(matches!(
            site.verify(),
            Err(ReleaseError::Signature { line: 3, .. } | ReleaseError::Signature { line: 2, .. })
        ));
        fs::write(&signature, &text).unwrap();

        fs::write(site.path("release/ringward"), "other").unwrap();
        assert!(matches!(site.verify(), Err(ReleaseError::Digest { .. })));

        fs::write(
            site.path("release.pub"),
            Site::new().path("x").display().to_string(),
        )
        .unwrap();
        assert!(matches!(site.verify(), Err(ReleaseError::PublicKey { .. })));
        let other = make([], Validity::default()).unwrap();
        fs::write(site.path("release.pub"), other.release_public).unwrap();
        assert!(matches!(site.verify(), Err(ReleaseError::Forged { .. })));
    }

    #[test]
    fn bad_input_is_named() {
        let site = Site::new();
        for version in ["", "a b", "../x", &"x".repeat(65)] {
            assert!(
                matches!(site.sign(version), Err(ReleaseError::Version(_))),
                "{version}"
            );
        }
        fs::write(site.path("release.key"), "no key").unwrap();
        assert!(matches!(site.sign("1"), Err(ReleaseError::Key { .. })));
        assert!(!site.path("release").exists());
    }
}
