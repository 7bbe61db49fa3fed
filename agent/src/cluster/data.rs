//! Management data: the eight lines about one server (paper, section 2.4, Fig. 4).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Daemon, Mac, ParseError, ServerName, ServerType};

/// All that a management program must know about its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementData {
    /// 1st line: the virtual address (VIP) that clients use.
    pub vip: Ipv4Addr,
    /// 2nd line: the host name of the target.
    pub name: ServerName,
    /// 3rd line: the target's own address (IPR).
    pub ipr: Ipv4Addr,
    /// 4th line: the target's hardware address, which wake-on-LAN calls.
    pub mac: Mac,
    /// 5th line: its service daemons.
    pub daemons: Vec<Daemon>,
    /// 6th line: what kind of server it is.
    pub server_type: ServerType,
    /// 7th line: the host name of its backup VM.
    pub vm_name: ServerName,
    /// 8th line: the backup VM's own address (IPV).
    pub ipv: Ipv4Addr,
}

/// What each line holds, for error messages.
const LINES: [&str; 8] = [
    "the virtual address (VIP), like 172.21.14.201",
    "the host name of the server, like mail",
    "the address of the server (IPR), like 172.21.14.1",
    "the hardware address, like 00:00:00:00:00:01",
    "the service daemons, like postfix dovecot",
    "the server type: CPU, NETWORK or CPU_NET",
    "the host name of the backup VM, like mailb",
    "the address of the backup VM (IPV), like 172.21.14.101",
];

impl ManagementData {
    /// Reads management data; `file` is only used to name it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let reader = Reader {
            file,
            lines: &lines,
        };
        let data = Self {
            vip: reader.one(0)?,
            name: reader.one(1)?,
            ipr: reader.one(2)?,
            mac: reader.one(3)?,
            daemons: reader.many(4)?,
            server_type: reader.one(5)?,
            vm_name: reader.one(6)?,
            ipv: reader.one(7)?,
        };
        for (index, line) in lines.iter().enumerate().skip(LINES.len()) {
            if !line.is_empty() && !line.starts_with('#') {
                let found = format!("a line too many: {line:?}");
                return Err(ParseError::new(file, index + 1, found, "eight lines"));
            }
        }
        data.distinct(file)?;
        Ok(data)
    }

    /// The three addresses must differ, or the function would answer where it should not.
    fn distinct(&self, file: &str) -> Result<(), ParseError> {
        let again = |line: usize, address: Ipv4Addr, other: &str| {
            let found = format!("{address} again, which is already the {other}");
            ParseError::new(file, line, found, LINES[line - 1])
        };
        if self.ipr == self.vip {
            return Err(again(3, self.ipr, "VIP"));
        }
        if self.ipv == self.vip {
            return Err(again(8, self.ipv, "VIP"));
        }
        if self.ipv == self.ipr {
            return Err(again(8, self.ipv, "IPR"));
        }
        if self.vm_name == self.name {
            let found = format!("{} again, which is already the server", self.vm_name);
            return Err(ParseError::new(file, 7, found, LINES[6]));
        }
        Ok(())
    }
}

struct Reader<'a> {
    file: &'a str,
    lines: &'a [&'a str],
}

impl Reader<'_> {
    fn line(&self, index: usize) -> Result<&str, ParseError> {
        let found = match self.lines.get(index) {
            Some(line) if !line.is_empty() => return Ok(line),
            Some(_) => "an empty line",
            None => "the end of the file",
        };
        Err(ParseError::new(self.file, index + 1, found, LINES[index]))
    }

    fn one<T: FromStr>(&self, index: usize) -> Result<T, ParseError> {
        let line = self.line(index)?;
        line.parse()
            .map_err(|_| ParseError::new(self.file, index + 1, format!("{line:?}"), LINES[index]))
    }

    fn many(&self, index: usize) -> Result<Vec<Daemon>, ParseError> {
        let line = self.line(index)?;
        let mut daemons: Vec<Daemon> = Vec::new();
        for word in line.split_whitespace() {
            let daemon = word
                .parse::<Daemon>()
                .map_err(|reason| ParseError::new(self.file, index + 1, reason, LINES[index]))?;
            if daemons.contains(&daemon) {
                let found = format!("{word} twice");
                return Err(ParseError::new(self.file, index + 1, found, LINES[index]));
            }
            daemons.push(daemon);
        }
        Ok(daemons)
    }
}

impl fmt::Display for ManagementData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let daemons: Vec<&str> = self.daemons.iter().map(Daemon::name).collect();
        writeln!(f, "{}\n{}\n{}\n{}", self.vip, self.name, self.ipr, self.mac)?;
        writeln!(
            f,
            "{}\n{}\n{}\n{}",
            daemons.join(" "),
            self.server_type,
            self.vm_name,
            self.ipv
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "172.21.14.201\nMail\n172.21.14.1\n00:00:00:00:00:01\n\
                        postfix dovecot\nNETWORK\nMailb\n172.21.14.101\n";

    #[test]
    fn the_papers_mail_dat_round_trips() {
        let data = ManagementData::parse("Mail.dat", MAIL).unwrap();
        assert_eq!(data.name.as_str(), "Mail");
        assert_eq!(data.daemons.len(), 2);
        assert_eq!(data.to_string(), MAIL);
        assert!(ManagementData::parse("Mail.dat", &MAIL.replace('\n', "\r\n")).is_ok());
    }

    #[test]
    fn every_bad_line_is_named() {
        let lines: Vec<&str> = MAIL.lines().collect();
        let broken = [
            "172.21.14",
            "Ma il",
            "",
            "00:00",
            "postfix foo",
            "DISK",
            "-",
            "172.21.14.1",
        ];
        let mut report = String::new();
        for (index, wrong) in broken.iter().enumerate() {
            let mut copy = lines.clone();
            copy[index] = wrong;
            let error = ManagementData::parse("Mail.dat", &copy.join("\n")).unwrap_err();
            report.push_str(&format!("{error}\n"));
        }
        let short = ManagementData::parse("Mail.dat", &lines[..5].join("\n")).unwrap_err();
        report.push_str(&format!("{short}\n"));
        let long = ManagementData::parse("Mail.dat", &format!("{MAIL}more\n")).unwrap_err();
        report.push_str(&format!("{long}\n"));
        insta::assert_snapshot!(report);
    }
}
