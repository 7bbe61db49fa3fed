//! The trouble file: which backup VM runs where, and for whom (paper, section 2.6, Fig. 6).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServerName;
use super::error::{ParseError, lines, words};

const LINE: &str = "\"<backup VM> <target> <host of the VM>\", like ftpb ftp proxy";

/// One line: a function that a backup VM carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleLine {
    /// Host name of the backup VM.
    pub vm: ServerName,
    /// The server in trouble.
    pub target: ServerName,
    /// The server that runs the VM.
    pub host: ServerName,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The lines, by target in ring order.
    pub lines: Vec<TroubleLine>,
}

impl Trouble {
    /// Reads a trouble file; `file` is only used to name it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        let mut found: Vec<TroubleLine> = Vec::new();
        for (at, line) in lines(text) {
            let [vm, target, host] = words(file, at, line, LINE)?;
            let wrong = |reason: String| ParseError::new(file, at, reason, LINE);
            let line = TroubleLine {
                vm: vm.parse().map_err(wrong)?,
                target: target.parse().map_err(wrong)?,
                host: host.parse().map_err(wrong)?,
            };
            if found.iter().any(|other| other.target == line.target) {
                let twice = format!("target {} twice", line.target);
                return Err(ParseError::new(file, at, twice, "each target once"));
            }
            found.push(line);
        }
        Ok(Self { lines: found })
    }

    /// How many backup VMs `host` runs.
    pub fn vms_on(&self, host: &ServerName) -> usize {
        self.lines.iter().filter(|line| line.host == *host).count()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TroubleLine { vm, target, host } in &self.lines {
            writeln!(f, "{vm} {target} {host}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_round_trips() {
        let text = "ftpb ftp proxy\nmailb mail proxy\n";
        let trouble = Trouble::parse("trouble", text).unwrap();
        assert_eq!(trouble.to_string(), text);
        assert_eq!(trouble.vms_on(&"proxy".parse().unwrap()), 2);
        let twice = Trouble::parse("trouble", "a ftp b\nc ftp d\n").unwrap_err();
        insta::assert_snapshot!(twice);
    }
}
