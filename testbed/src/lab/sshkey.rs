//! The probe account's SSH key, made for each lab, in OpenSSH's own formats.

use super::error::{LabError, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

const KIND: &[u8] = b"ssh-ed25519";
const COMMENT: &str = "probe@ringward";

/// A key pair.
#[derive(Clone)]
pub struct SshKey {
    /// What goes into `probe.key`.
    pub private: String,
    /// The line for `authorized_keys`.
    pub public: String,
}

/// Makes an Ed25519 key without a passphrase.
pub fn make() -> Result<SshKey> {
    let mut seed = [0; 32];
    let mut check = [0; 4];
    let random = SystemRandom::new();
    let failed = |_| LabError::Other("the host's random number generator failed".to_owned());
    random.fill(&mut seed).map_err(failed)?;
    random.fill(&mut check).map_err(failed)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|e| LabError::Other(format!("cannot make the probe's SSH key: {e}")))?;
    Ok(encode(&seed, pair.public_key().as_ref(), check))
}

/// OpenSSH's PROTOCOL.key: everything is a string with its length before it.
fn encode(seed: &[u8], public: &[u8], check: [u8; 4]) -> SshKey {
    let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let blob = [string(KIND), string(public)].concat();
    let mut secret = [
        &check[..],
        &check[..],
        &blob,
        &string(&[seed, public].concat()),
        &string(COMMENT.as_bytes()),
    ]
    .concat();
    let padding = secret.len().next_multiple_of(8) - secret.len();
    secret.extend((1..=padding).map(|n| n as u8));
    let whole = [
        &b"openssh-key-v1\0"[..],
        &string(b"none"),
        &string(b"none"),
        &string(b""),
        &1_u32.to_be_bytes(),
        &string(&blob),
        &string(&secret),
    ]
    .concat();
    let text = STANDARD.encode(whole);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(70)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    let (begin, end) = ("BEGIN OPENSSH PRIVATE KEY", "END OPENSSH PRIVATE KEY");
    SshKey {
        private: format!("-----{begin}-----\n{}\n-----{end}-----\n", lines.join("\n")),
        public: format!("ssh-ed25519 {} {COMMENT}\n", STANDARD.encode(blob)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_that_openssh_reads() {
        let key = encode(&[1; 32], &[2; 32], [9; 4]);
        assert!(
            key.public
                .starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgIC")
        );
        let body: String = key
            .private
            .lines()
            .filter(|l| !l.starts_with('-'))
            .collect();
        let raw = STANDARD.decode(body).unwrap();
        assert!(raw.starts_with(b"openssh-key-v1\0\0\0\0\x04none"));
        // What is encrypted (here: not) is a whole number of 8-octet blocks.
        let head = 15 + 8 + 8 + 4 + 4 + (4 + 51) + 4;
        assert_eq!((raw.len() - head) % 8, 0);
    }

    #[test]
    fn no_two_keys_are_alike() {
        assert_ne!(make().unwrap().public, make().unwrap().public);
    }
}
