//! Kinds of servers, and which protocol a service daemon speaks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a server mainly needs; decides the weights of the non-select value (paper, Fig. 5(b)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerType {
    /// Mainly computes (login).
    Cpu,
    /// Mainly transfers data (FTP, mail, proxy).
    Network,
    /// Does both (web).
    CpuNet,
}

impl FromStr for ServerType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "CPU" => Ok(Self::Cpu),
            "NETWORK" => Ok(Self::Network),
            "CPU_NET" => Ok(Self::CpuNet),
            _ => Err(format!(
                "{text:?} is no server type (CPU, NETWORK or CPU_NET)"
            )),
        }
    }
}

impl fmt::Display for ServerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "CPU",
            Self::Network => "NETWORK",
            Self::CpuNet => "CPU_NET",
        })
    }
}

/// A protocol that an examination speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Mail transfer, port 25: greeting, HELO, QUIT.
    Smtp,
    /// Mail reading, port 143: greeting, login, LOGOUT.
    Imap,
    /// Remote login, port 22.
    Ssh,
    /// File transfer, port 21: login and listing.
    Ftp,
    /// Web, port 80: GET of the front page.
    Http,
    /// A page fetched through the proxy, port 3128.
    Proxy,
}

impl Service {
    /// Every service, in the order of the variants.
    pub const ALL: [Self; 6] = [
        Self::Smtp,
        Self::Imap,
        Self::Ssh,
        Self::Ftp,
        Self::Http,
        Self::Proxy,
    ];

    /// The TCP port that the service listens on.
    pub fn port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Ssh => 22,
            Self::Ftp => 21,
            Self::Http => 80,
            Self::Proxy => 3128,
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|service| service.to_string() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(|service| service.to_string()).join(", ");
                format!("{text:?} is no service ({known})")
            })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Ssh => "ssh",
            Self::Ftp => "ftp",
            Self::Http => "http",
            Self::Proxy => "proxy",
        })
    }
}

/// A service daemon as management data names it (5th line): the unit that is restarted and, by
/// its name, the protocol that is examined.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Daemon {
    name: String,
    service: Service,
}

impl Daemon {
    /// The names that are known, and what they speak.
    pub const KNOWN: [(&'static str, Service); 8] = [
        ("postfix", Service::Smtp),
        ("dovecot", Service::Imap),
        ("vsftpd", Service::Ftp),
        ("apache2", Service::Http),
        ("httpd", Service::Http),
        ("squid", Service::Proxy),
        ("ssh", Service::Ssh),
        ("sshd", Service::Ssh),
    ];

    /// The name of the unit.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The protocol it speaks.
    pub fn service(&self) -> Service {
        self.service
    }
}

impl FromStr for Daemon {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::KNOWN.into_iter().find(|(name, _)| *name == text) {
            Some((name, service)) => Ok(Self {
                name: name.to_owned(),
                service,
            }),
            None => {
                let known = Self::KNOWN.map(|(name, _)| name).join(", ");
                Err(format!("{text:?} is no known service daemon ({known})"))
            }
        }
    }
}

impl TryFrom<String> for Daemon {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Daemon> for String {
    fn from(daemon: Daemon) -> Self {
        daemon.name
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}
