//! The nine machines and their addresses (the paper's Fig. 4 and its 172.21.14.0/24).

use super::error::{LabError, Result};
use ringward::cluster::{Mac, ServerType};
use std::net::Ipv4Addr;

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A server of the ring, with its number in the group file (from 1).
    Server(u8),
    /// file1 holds the share, file2 the users' data.
    FileServer,
    /// Plays the users.
    Client,
}

/// One machine of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its host name.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// Its own address (a server's IPR).
    pub ip: Ipv4Addr,
    /// Its MAC address.
    pub mac: Mac,
    /// Megabytes of memory.
    pub memory_mb: u32,
    /// Speed of its link, each way.
    pub link_mbit_per_s: u32,
}

const fn spec(name: &'static str, kind: Kind, last: u8, mac: u8, memory_mb: u32) -> Spec {
    let link_mbit_per_s = match kind {
        Kind::Client => 100,
        Kind::Server(_) | Kind::FileServer => 1000,
    };
    Spec {
        name,
        kind,
        ip: Ipv4Addr::new(172, 21, 14, last),
        mac: Mac([0, 0, 0, 0, 0, mac]),
        memory_mb,
        link_mbit_per_s,
    }
}

/// The machines in the order in which they are brought up: file servers first, then the ring.
pub const MACHINES: [Spec; 9] = [
    spec("file1", Kind::FileServer, 11, 0x11, 512),
    spec("file2", Kind::FileServer, 12, 0x12, 512),
    spec("mail", Kind::Server(1), 1, 1, 1792),
    spec("web1", Kind::Server(2), 2, 2, 1792),
    spec("ftp", Kind::Server(3), 3, 3, 1792),
    spec("web2", Kind::Server(4), 4, 4, 1792),
    spec("proxy", Kind::Server(5), 5, 5, 1792),
    spec("login", Kind::Server(6), 6, 6, 1792),
    spec("client", Kind::Client, 21, 0x21, 384),
];

/// The servers in ring order.
pub fn servers() -> impl Iterator<Item = &'static Spec> {
    MACHINES
        .iter()
        .filter(|m| matches!(m.kind, Kind::Server(_)))
}

/// The machine of that name; the error lists the names there are.
pub fn find(name: &str) -> Result<&'static Spec> {
    MACHINES.iter().find(|m| m.name == name).ok_or_else(|| {
        let known: Vec<&str> = MACHINES.iter().map(|m| m.name).collect();
        LabError::NoMachine {
            name: name.to_owned(),
            known: known.join(" "),
        }
    })
}

/// What the paper's `.dat` file says of one server beyond its own name and addresses.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Daemons, separated by spaces (fifth line).
    pub daemons: &'static str,
    /// Server type (sixth line).
    pub server_type: ServerType,
}

impl Spec {
    /// The server's function; none for the other machines.
    pub fn function(&self) -> Option<Function> {
        let (daemons, server_type) = match self.name {
            "mail" => ("postfix dovecot", ServerType::Network),
            "web1" | "web2" => ("apache2", ServerType::CpuNet),
            "ftp" => ("vsftpd", ServerType::Network),
            "proxy" => ("squid", ServerType::Network),
            "login" => ("ssh", ServerType::Cpu),
            _ => return None,
        };
        Some(Function {
            daemons,
            server_type,
        })
    }

    /// The function's virtual address, VIP.
    pub fn vip(&self) -> Ipv4Addr {
        self.beside(200)
    }

    /// The backup VM's own address, IPV.
    pub fn vm_ip(&self) -> Ipv4Addr {
        self.beside(100)
    }

    /// The backup VM's host name.
    pub fn vm_name(&self) -> String {
        format!("{}b", self.name)
    }

    fn beside(&self, distance: u8) -> Ipv4Addr {
        let [a, b, c, d] = self.ip.octets();
        Ipv4Addr::new(a, b, c, d + distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_addresses_are_unique() {
        let names: HashSet<_> = MACHINES.iter().map(|m| m.name).collect();
        let macs: HashSet<_> = MACHINES.iter().map(|m| m.mac).collect();
        let ips: HashSet<_> = MACHINES
            .iter()
            .map(|m| m.ip)
            .chain(servers().flat_map(|s| [s.vip(), s.vm_ip()]))
            .collect();
        assert_eq!((names.len(), macs.len(), ips.len()), (9, 9, 21));
    }

    #[test]
    fn an_unknown_machine_is_answered_with_the_known_ones() {
        assert_eq!(
            find("print").unwrap_err().to_string(),
            "there is no machine \"print\" in the lab; there are: \
             file1 file2 mail web1 ftp web2 proxy login client"
        );
    }

    #[test]
    fn ftp_has_the_addresses_of_the_table() {
        let ftp = find("ftp").unwrap();
        assert_eq!(
            format!(
                "{} {} {} {} {}",
                ftp.mac,
                ftp.ip,
                ftp.vip(),
                ftp.vm_name(),
                ftp.vm_ip()
            ),
            "00:00:00:00:00:03 172.21.14.3 172.21.14.203 ftpb 172.21.14.103"
        );
    }
}
