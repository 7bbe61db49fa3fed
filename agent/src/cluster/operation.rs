//! The operation file: who manages whom (paper, section 2.6, Fig. 6).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ServerName;
use super::error::{ParseError, lines, words};

const LINE: &str = "\"<P1|P2> <manager> <target> <data file>\", like P1 mail web web.dat";

/// Server management priority (paper, section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Recovers the target.
    P1,
    /// Watches too, and takes over when P1 is gone.
    P2,
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "P1" => Ok(Self::P1),
            "P2" => Ok(Self::P2),
            _ => Err(format!("{text:?} is no priority (P1 or P2)")),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
        })
    }
}

/// One line: a management program to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// With which priority.
    pub priority: Priority,
    /// Where it runs.
    pub manager: ServerName,
    /// Whom it manages.
    pub target: ServerName,
    /// The target's management data.
    pub data: Arc<str>,
}

/// The whole file. Made by [`super::ring::operation`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The lines, by manager in ring order.
    pub tasks: Vec<Task>,
}

impl Operation {
    /// Reads an operation file; `file` is only used to name it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ParseError> {
        let mut tasks = Vec::new();
        for (at, line) in lines(text) {
            let [priority, manager, target, data] = words(file, at, line, LINE)?;
            let wrong = |reason: String| ParseError::new(file, at, reason, LINE);
            tasks.push(Task {
                priority: priority.parse().map_err(wrong)?,
                manager: manager.parse().map_err(wrong)?,
                target: target.parse().map_err(wrong)?,
                data: data.into(),
            });
        }
        Ok(Self { tasks })
    }

    /// What runs on `manager`.
    pub fn on<'a>(&'a self, manager: &'a ServerName) -> impl Iterator<Item = &'a Task> {
        self.tasks
            .iter()
            .filter(move |task| task.manager == *manager)
    }

    /// Who manages somebody, in ring order.
    pub fn managers(&self) -> impl Iterator<Item = &ServerName> {
        let same = |a: &Task, b: &Task| a.manager == b.manager;
        self.tasks.chunk_by(same).map(|tasks| &tasks[0].manager)
    }

    /// Who manages `target`.
    pub fn of<'a>(&'a self, target: &'a ServerName) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |task| task.target == *target)
    }

    /// The server that manages `target` with `priority`.
    pub fn manager(&self, target: &ServerName, priority: Priority) -> Option<&ServerName> {
        let mut tasks = self.tasks.iter();
        let found = tasks.find(|task| task.target == *target && task.priority == priority);
        found.map(|task| &task.manager)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Task {
            priority,
            manager,
            target,
            data,
        } in &self.tasks
        {
            writeln!(f, "{priority} {manager} {target} {data}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_named() {
        let mut report = String::new();
        for bad in ["P1 mail web", "P3 mail web web.dat", "P1 mail we_b web.dat"] {
            report.push_str(&format!(
                "{}\n",
                Operation::parse("operation", bad).unwrap_err()
            ));
        }
        insta::assert_snapshot!(report);
    }
}
