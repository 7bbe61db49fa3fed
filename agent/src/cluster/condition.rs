//! The real server condition file: normalised load of every server (paper, Fig. 5(b)).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServerName;
use super::error::{ParseError, lines, words};

const LINE: &str = "\"<server> <VM> <Nm> <Nc> <Nn>\", like web 0 40 30 50";

/// One line: how busy a server is. The loads are per cent, 0 (least of all servers) to 100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerCondition {
    /// The server.
    pub name: ServerName,
    /// How many backup VMs it runs.
    pub vm: u32,
    /// Memory load, equations (4) and (5).
    pub nm: f64,
    /// Processor load, equations (6) and (7).
    pub nc: f64,
    /// Network load, equations (8) and (9).
    pub nn: f64,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The lines, in ring order.
    pub servers: Vec<ServerCondition>,
}

impl Condition {
    /// Reads a condition file; `file` is only used to name it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        let mut servers: Vec<ServerCondition> = Vec::new();
        for (at, line) in lines(text) {
            let [name, vm, nm, nc, nn] = words(file, at, line, LINE)?;
            let name = name
                .parse()
                .map_err(|reason: String| ParseError::new(file, at, reason, LINE))?;
            let vm = vm
                .parse()
                .map_err(|_| ParseError::new(file, at, format!("number of VMs {vm:?}"), LINE))?;
            let load = |what: &str, text: &str| match text.parse::<f64>() {
                Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
                _ => {
                    let found = format!("{what} {text:?}");
                    Err(ParseError::new(
                        file,
                        at,
                        found,
                        "a load from 0 to 100 per cent",
                    ))
                }
            };
            let line = ServerCondition {
                name,
                vm,
                nm: load("Nm", nm)?,
                nc: load("Nc", nc)?,
                nn: load("Nn", nn)?,
            };
            if servers.iter().any(|other| other.name == line.name) {
                let twice = format!("server {} twice", line.name);
                return Err(ParseError::new(file, at, twice, "each server once"));
            }
            servers.push(line);
        }
        Ok(Self { servers })
    }

    /// The line of a server.
    pub fn get(&self, name: &ServerName) -> Option<&ServerCondition> {
        self.servers.iter().find(|server| server.name == *name)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ServerCondition {
            name,
            vm,
            nm,
            nc,
            nn,
        } in &self.servers
        {
            writeln!(f, "{name} {vm} {nm:.2} {nc:.2} {nn:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_condition_file_is_read() {
        let condition = Condition::parse("condition", "web 0 40 30 50\nmail 1 30 20 40\n").unwrap();
        assert_eq!(condition.get(&"mail".parse().unwrap()).unwrap().vm, 1);
        insta::assert_snapshot!(condition);
    }

    #[test]
    fn bad_lines_are_named() {
        let mut report = String::new();
        for bad in [
            "web 0 40 30",
            "web x 40 30 50",
            "web 0 40 101 50",
            "web 0 NaN 30 50",
        ] {
            report.push_str(&format!(
                "{}\n",
                Condition::parse("condition", bad).unwrap_err()
            ));
        }
        insta::assert_snapshot!(report);
    }
}
