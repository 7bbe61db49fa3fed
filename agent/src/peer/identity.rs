//! Who this server is to the others: certificate, private key, and the CA that signed both sides.
//!
//! Everything that can be wrong with the site medium is found at start, with what to do about it,
//! and not as a failed handshake at the moment of trouble.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName as TlsName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;

use crate::cluster::ServerName;

/// Why this server cannot prove who it is.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file of the site medium cannot be read.
    #[error(
        "read {path}: {cause}; it comes with the site medium (volume RINGWARD) that `ringward keys make` wrote for this server"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// A file is not what its name says.
    #[error("{path}: expected {expected}, found {found}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Key and certificate are of two different pairs.
    #[error(
        "{key} does not belong to {certificate}; copy both from the same directory of `ringward keys make`"
    )]
    KeyMismatch {
        /// The private key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
    /// The certificate of another server.
    #[error(
        "{certificate} is for {found:?}, but node.toml says this server is {expected:?}; use the medium made for {expected:?}"
    )]
    OtherServer {
        /// The certificate file.
        certificate: PathBuf,
        /// The name in `node.toml`.
        expected: String,
        /// The names in the certificate.
        found: String,
    },
    /// The certificate of another cluster.
    #[error(
        "{certificate} is not signed by {ca}; both must come from one run of `ringward keys make`"
    )]
    OtherCluster {
        /// The certificate file.
        certificate: PathBuf,
        /// The CA certificate file.
        ca: PathBuf,
    },
    /// The certificate is too old, or the clock is wrong.
    #[error("{certificate} {why} by this server's clock ({now}); set the clock, or make new keys")]
    Expired {
        /// The certificate file.
        certificate: PathBuf,
        /// `has expired` or `is not valid yet`.
        why: &'static str,
        /// The time that was compared with, UTC.
        now: String,
    },
    /// Whatever else the certificate library finds.
    #[error("{certificate} cannot be used: {cause}")]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// What the library found.
        cause: rustls::Error,
    },
}

/// Certificate, key and CA, checked to fit.
#[derive(Clone)]
pub struct Identity {
    name: ServerName,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads `ca.pem`, `node.pem` and `node.key` in `directory` and checks that they fit each
    /// other and `name`.
    ///
    /// # Errors
    /// [`IdentityError`], one case for each thing that may not fit.
    pub fn load(directory: &Path, name: &ServerName) -> Result<Self, IdentityError> {
        let files = Files {
            ca: directory.join("ca.pem"),
            certificate: directory.join("node.pem"),
            key: directory.join("node.key"),
        };
        let ca = certificate(&files.ca)?;
        let own = certificate(&files.certificate)?;
        let key = private_key(&files.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unusable = |cause| IdentityError::Unusable {
            certificate: files.certificate.clone(),
            cause,
        };

        let mut roots = RootCertStore::empty();
        roots
            .add(ca)
            .map_err(|e| content(&files.ca, "a CA certificate", e.to_string()))?;
        let roots = Arc::new(roots);
        check_pair(&files, &own, &key, &provider)?;
        check_certificate(&files, &own, name, &roots, &provider)?;

        let versions = &[&rustls::version::TLS13];
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(vec![own.clone()], key.clone_key())
            .map_err(unusable)?;
        client.resumption = Resumption::disabled();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|e| content(&files.ca, "a CA certificate", e.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![own], key)
            .map_err(unusable)?;
        server.send_tls13_tickets = 0;
        Ok(Self {
            name: name.clone(),
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// The server that this identity proves to be.
    pub fn name(&self) -> &ServerName {
        &self.name
    }
}

struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn content(path: &Path, expected: &'static str, found: String) -> IdentityError {
    IdentityError::Content {
        path: path.to_owned(),
        expected,
        found,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|cause| IdentityError::Read {
        path: path.to_owned(),
        cause,
    })
}

fn certificate(path: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(&read(path)?)
        .map_err(|_| content(path, "a certificate in PEM form", "none".to_owned()))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| content(path, "a private key in PEM form", "none".to_owned()))
}

fn check_pair(
    files: &Files,
    own: &CertificateDer<'static>,
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<(), IdentityError> {
    let signer = provider.key_provider.load_private_key(key.clone_key());
    let signer = signer.map_err(|e| content(&files.key, "a usable private key", e.to_string()))?;
    match CertifiedKey::new(vec![own.clone()], signer).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::KeyMismatch {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        }),
        Err(e) => Err(content(
            &files.certificate,
            "a server's certificate",
            e.to_string(),
        )),
    }
}

fn check_certificate(
    files: &Files,
    own: &CertificateDer<'static>,
    name: &ServerName,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), IdentityError> {
    let found = names(own);
    if !found.iter().any(|n| n == name.as_str()) {
        return Err(IdentityError::OtherServer {
            certificate: files.certificate.clone(),
            expected: name.to_string(),
            found: found.join(", "),
        });
    }
    let expected = tls_name(name)
        .ok_or_else(|| content(&files.certificate, "a host name", name.to_string()))?;
    let now = UnixTime::now();
    let verified =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|e| content(&files.ca, "a CA certificate", e.to_string()))?
            .verify_server_cert(own, &[], &expected, &[], now);
    let Err(error) = verified else { return Ok(()) };
    let certificate = files.certificate.clone();
    let outdated = |why| IdentityError::Expired {
        certificate: files.certificate.clone(),
        why,
        now: jiff::Timestamp::now().strftime("%F %T UTC").to_string(),
    };
    Err(match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                outdated("has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                outdated("is not valid yet")
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                IdentityError::OtherCluster {
                    certificate,
                    ca: files.ca.clone(),
                }
            }
            other => IdentityError::Unusable {
                certificate,
                cause: other.into(),
            },
        },
        cause => IdentityError::Unusable { certificate, cause },
    })
}

/// The DNS names in a certificate that was already verified, or is about to be.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) => parsed.valid_dns_names().map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}

/// `name` as the TLS library wants it.
pub(super) fn tls_name(name: &ServerName) -> Option<TlsName<'static>> {
    TlsName::try_from(name.to_string()).ok()
}
