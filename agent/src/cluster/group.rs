//! The group file and the separation file (paper, section 2.6, Fig. 6).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ServerName;
use super::error::{ParseError, lines, words};

const LINE: &str = "\"<number> <host> <data file>\", like 1 mail mail.dat";

/// A server of the cluster. Its number says where in the ring it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Place in the ring; the lowest is the head of the group.
    pub number: u32,
    /// The host name.
    pub name: ServerName,
    /// The file with its management data.
    pub data: Arc<str>,
}

/// Servers in ring order: the file `group`, or `separation` for those taken out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    members: Vec<Member>,
}

/// The servers that are out of the group; the same lines as in the group file.
pub type Separation = Group;

impl Group {
    /// A group of these servers, put in the order of their numbers. Of two with one name or
    /// number the first stays.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut group = Self::default();
        for member in members {
            group.insert(member);
        }
        group
    }

    /// Reads a group or separation file; `file` is only used to name it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        let mut group = Self::default();
        for (at, line) in lines(text) {
            let [number, name, data] = words(file, at, line, LINE)?;
            let number = number
                .parse()
                .map_err(|_| ParseError::new(file, at, format!("number {number:?}"), LINE))?;
            let name = name
                .parse()
                .map_err(|reason: String| ParseError::new(file, at, reason, LINE))?;
            if data.contains('/') || data.starts_with('.') {
                let found = format!("data file {data:?}");
                return Err(ParseError::new(
                    file,
                    at,
                    found,
                    "a file name without a folder",
                ));
            }
            let member = Member {
                number,
                name,
                data: data.into(),
            };
            let twice = match (group.get(&member.name), group.numbered(number)) {
                (Some(_), _) => format!("server {} twice", member.name),
                (_, Some(_)) => format!("number {number} twice"),
                (None, None) => {
                    group.insert(member);
                    continue;
                }
            };
            return Err(ParseError::new(
                file,
                at,
                twice,
                "each server and number once",
            ));
        }
        Ok(group)
    }

    /// Those of whom `stays` is true.
    pub fn only(&self, stays: impl Fn(&Member) -> bool) -> Self {
        let members = self.members.iter().filter(|member| stays(member));
        Self {
            members: members.cloned().collect(),
        }
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let others: BTreeSet<&ServerName> = other.names().collect();
        self.only(|member| !others.contains(&member.name))
    }

    /// Puts a server where its number belongs; one that is there already stays as it is.
    pub fn insert(&mut self, member: Member) {
        if self.contains(&member.name) {
            return;
        }
        if let Err(at) = self
            .members
            .binary_search_by_key(&member.number, |m| m.number)
        {
            self.members.insert(at, member);
        }
    }

    /// Takes a server out.
    pub fn remove(&mut self, name: &ServerName) -> Option<Member> {
        let at = self.position(name)?;
        Some(self.members.remove(at))
    }

    /// The servers in ring order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Their names in ring order.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.members.iter().map(|member| &member.name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The first server, which broadcasts S.
    pub fn head(&self) -> Option<&ServerName> {
        self.names().next()
    }

    /// Where in the ring a server stands, from 0.
    pub fn position(&self, name: &ServerName) -> Option<usize> {
        self.members.iter().position(|member| member.name == *name)
    }

    /// Whether the server is in.
    pub fn contains(&self, name: &ServerName) -> bool {
        self.position(name).is_some()
    }

    /// The line of a server.
    pub fn get(&self, name: &ServerName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    fn numbered(&self, number: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.number == number)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Member { number, name, data } in &self.members {
            writeln!(f, "{number} {name} {data}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_ring_order() {
        let text = "2 web web.dat\n1 mail mail.dat\n# ringward len=1 crc32=00000000\n";
        let mut group = Group::parse("group", text).unwrap();
        assert_eq!(group.to_string(), "1 mail mail.dat\n2 web web.dat\n");
        let mail = group.remove(&"mail".parse().unwrap()).unwrap();
        assert_eq!(group.head().unwrap().as_str(), "web");
        group.insert(mail);
        assert_eq!(group.head().unwrap().as_str(), "mail");
    }

    #[test]
    fn bad_lines_are_named() {
        let mut report = String::new();
        for bad in [
            "1 mail",
            "x mail mail.dat",
            "1 mail mail.dat\n2 mail web.dat",
            "1 mail mail.dat\n1 web web.dat",
            "1 ma_il mail.dat",
            "1 mail ../mail.dat",
        ] {
            report.push_str(&format!("{}\n", Group::parse("group", bad).unwrap_err()));
        }
        insta::assert_snapshot!(report);
    }
}
