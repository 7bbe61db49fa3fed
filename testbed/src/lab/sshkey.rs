//! The probe account's SSH key, made for each lab.

use super::error::{LabError, Result};
use ring::rand::{SecureRandom, SystemRandom};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::{LineEnding, private::Ed25519Keypair};

/// A key pair in OpenSSH's own formats.
#[derive(Clone)]
pub struct SshKey {
    /// What goes into `probe.key`.
    pub private: String,
    /// The line for `authorized_keys`.
    pub public: String,
}

/// Makes an Ed25519 key without a passphrase.
pub fn make() -> Result<SshKey> {
    let failed = |why: String| LabError::Other(format!("cannot make the probe's SSH key: {why}"));
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| failed("the host's random number generator failed".to_owned()))?;
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment("probe@ringward");
    let failed = |error: russh::keys::ssh_key::Error| failed(error.to_string());
    Ok(SshKey {
        private: key.to_openssh(LineEnding::LF).map_err(failed)?.to_string(),
        public: key.public_key().to_openssh().map_err(failed)? + "\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_what_openssh_writes() {
        let key = make().unwrap();
        let private = PrivateKey::from_openssh(&key.private).unwrap();
        let public = private.public_key().to_openssh().unwrap();
        assert_eq!(key.public.trim_end(), public);
        assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" probe@ringward"));
    }

    #[test]
    fn no_two_keys_are_alike() {
        assert_ne!(make().unwrap().public, make().unwrap().public);
    }
}
