//! Who manages whom: the operation file, computed from the group file.
//!
//! Ring (the paper's P2P): every server manages the next with P1 and the one before with P2;
//! two servers manage each other with P1; one alone manages nobody (paper, Fig. 2, Table 1).
//! Star (the conventional method, MSBS): the head of the group manages all others with P1 and
//! nobody manages the head.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Group, Operation, Priority, Task};

/// How management is spread over the servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// The paper's peer-to-peer method.
    #[default]
    Ring,
    /// The conventional method: one manager for all.
    Star,
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ring" => Ok(Self::Ring),
            "star" => Ok(Self::Star),
            _ => Err(format!("{text:?} is no topology (ring or star)")),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ring => "ring",
            Self::Star => "star",
        })
    }
}

/// The operation file of a group.
pub fn operation(group: &Group, topology: Topology) -> Operation {
    let tasks = match topology {
        Topology::Ring => ring(group),
        Topology::Star => star(group),
    };
    Operation { tasks }
}

fn ring(group: &Group) -> Vec<Task> {
    let members = group.members();
    let n = members.len();
    let mut tasks = Vec::with_capacity(2 * n);
    for at in 0..n {
        if n >= 2 {
            tasks.push(task(group, Priority::P1, at, (at + 1) % n));
        }
        if n >= 3 {
            tasks.push(task(group, Priority::P2, at, (at + n - 1) % n));
        }
    }
    tasks
}

fn star(group: &Group) -> Vec<Task> {
    (1..group.len())
        .map(|target| task(group, Priority::P1, 0, target))
        .collect()
}

fn task(group: &Group, priority: Priority, manager: usize, target: usize) -> Task {
    let members = group.members();
    Task {
        priority,
        manager: members[manager].name.clone(),
        target: members[target].name.clone(),
        data: members[target].data.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: usize) -> Group {
        let names = ["mail", "web1", "ftp", "web2", "proxy", "login"];
        let text: String = names[..n]
            .iter()
            .zip(1..)
            .map(|(name, i)| format!("{i} {name} {name}.dat\n"))
            .collect();
        Group::parse("group", &text).unwrap()
    }

    #[test]
    fn six_in_a_ring() {
        insta::assert_snapshot!(operation(&group(6), Topology::Ring));
    }

    #[test]
    fn few_servers() {
        assert_eq!(operation(&group(0), Topology::Ring).tasks, []);
        assert_eq!(operation(&group(1), Topology::Ring).tasks, []);
        insta::assert_snapshot!(operation(&group(2), Topology::Ring));
        assert_eq!(operation(&group(3), Topology::Ring).tasks.len(), 6);
    }

    #[test]
    fn one_manager_for_all() {
        insta::assert_snapshot!(operation(&group(4), Topology::Star));
    }

    #[test]
    fn operation_files_round_trip() {
        let made = operation(&group(6), Topology::Ring);
        assert_eq!(
            Operation::parse("operation", &made.to_string()).unwrap(),
            made
        );
    }
}
