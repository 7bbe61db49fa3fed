//! Values that must not be mixed up: server names, hardware addresses, epochs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names up to this long are kept in place.
const SHORT: usize = 8;

/// The host name of a server or of a backup VM. Cheap to copy, and to compare: the tables of the
/// decisions have names for keys.
///
/// A label of letters, digits and `-`, 1 to 63 bytes long, that neither starts nor ends in `-`;
/// case counts. Names are ordered as their texts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName {
    /// How it begins, then zeros, which no name has.
    head: [u8; SHORT],
    /// All of it, if it is longer.
    whole: Option<Arc<String>>,
}

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.whole {
            Some(whole) => whole,
            None => {
                let end = self.head.iter().position(|byte| *byte == 0);
                let bytes = &self.head[..end.unwrap_or(SHORT)];
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if legal && edges && (1..=63).contains(&text.len()) {
            let mut head = [0; SHORT];
            for (place, byte) in head.iter_mut().zip(text.bytes()) {
                *place = byte;
            }
            let whole = (text.len() > SHORT).then(|| Arc::new(text.to_owned()));
            Ok(Self { head, whole })
        } else {
            Err(format!(
                "{text:?} is no host name (letters, digits and -, 1 to 63 of them)"
            ))
        }
    }
}

impl TryFrom<String> for ServerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.as_str().to_owned()
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A hardware address, six bytes written as `00:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no hardware address (like 00:00:00:00:00:01)");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(bad)?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            Err(bad())
        } else {
            Ok(Self(bytes))
        }
    }
}

impl Mac {
    /// The hardware address of this machine's backup VM: the same with the bit for local
    /// administration turned over, so that no two machines of a cluster share one.
    pub fn of_vm(self) -> Self {
        let [first, rest @ ..] = self.0;
        let [b, c, d, e, g] = rest;
        Self([first ^ 0x02, b, c, d, e, g])
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of a claim to a function. It only rises; who acts under an old one is too late.
///
/// Epoch 0 is the state nobody has claimed yet: the function is at home.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that the next claim takes.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Epoch {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_labels() {
        for good in ["mail", "Web", "web-1", "n0999"] {
            assert_eq!(good.parse::<ServerName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "a b", "a.b", "mäil", &"x".repeat(64)] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_in_the_order_of_their_texts() {
        let texts = [
            "a",
            "a-b",
            "ab",
            "b",
            "c2345678",
            "c23456789",
            "c2345678-0",
            "d",
        ];
        for a in texts {
            let name: ServerName = a.parse().unwrap();
            assert_eq!(name.as_str(), a);
            for b in texts {
                let other: ServerName = b.parse().unwrap();
                assert_eq!(name.cmp(&other), a.cmp(b), "{a} {b}");
                assert_eq!(name == other, a == b, "{a} {b}");
            }
        }
        assert_eq!(std::mem::size_of::<ServerName>(), 16);
    }

    #[test]
    fn hardware_addresses_round_trip() {
        let text = "00:1b:21:0a:ff:01";
        assert_eq!(text.parse::<Mac>().unwrap().to_string(), text);
        let vm = "00:00:00:00:00:03".parse::<Mac>().unwrap().of_vm();
        assert_eq!(vm.to_string(), "02:00:00:00:00:03");
        for bad in [
            "",
            "00:00:00:00:00",
            "00:00:00:00:00:00:00",
            "0:0:0:0:0:0",
            "+0:00:00:00:00:01",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
