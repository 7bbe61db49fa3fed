//! What can go wrong in the lab, said so that the reader knows what to do about it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of the lab's operations.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// `lab.json` is missing, unreadable or names what is not there.
    #[error(
        "cannot use the lab description {}: {what}; build it with `nix build .#lab` and pass it as --lab FILE or RINGWARD_LAB",
        path.display()
    )]
    Bundle {
        /// The description.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// A verb, such as "write".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program of the tool root failed.
    #[error("{tool} failed ({status}): {output}")]
    Tool {
        /// Its name.
        tool: String,
        /// Exit status or reason.
        status: String,
        /// The last lines it printed.
        output: String,
    },
    /// No machine of that name.
    #[error("there is no machine {name:?} in the lab; there are: {known}")]
    NoMachine {
        /// What was asked for.
        name: String,
        /// What there is, separated by spaces.
        known: String,
    },
    /// A machine is not in the state that the operation needs.
    #[error("cannot {doing} {machine}: it is {state}")]
    State {
        /// A verb, such as "freeze".
        doing: &'static str,
        /// Whom.
        machine: String,
        /// As `testbed lab status` says it.
        state: &'static str,
    },
    /// QEMU's monitor refused or went away.
    #[error("QEMU of {machine} did not {doing}: {what}; see its qemu.log")]
    Monitor {
        /// Whose.
        machine: String,
        /// The command.
        doing: String,
        /// QEMU's words.
        what: String,
    },
    /// The guest agent refused or went away.
    #[error("the guest agent of {machine} did not {doing}: {what}; see its console.log")]
    Guest {
        /// Whose.
        machine: String,
        /// The command.
        doing: String,
        /// Its words.
        what: String,
    },
    /// Something took too long.
    #[error("{machine} did not {doing} within {within_s} s{hint}")]
    Timeout {
        /// Whom it concerns.
        machine: String,
        /// What was expected.
        doing: String,
        /// Seconds it had.
        within_s: u64,
        /// What was seen instead, or where to look.
        hint: String,
    },
    /// A disk has too little room.
    #[error(
        "not enough room for {what} in {}: {need_mb} MB needed, {free_mb} MB free; make room or set {setting} to a place that has it",
        path.display()
    )]
    NoRoom {
        /// For what.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Megabytes.
        need_mb: u64,
        /// Megabytes.
        free_mb: u64,
        /// What the operator can point elsewhere.
        setting: &'static str,
    },
    /// Another lab is up.
    #[error(
        "a lab is already running (process {pid}, {what}): end it with `testbed lab down`, or with Ctrl-C where it was started; if that fails, `kill {pid}`"
    )]
    Busy {
        /// Of the holder of the lock.
        pid: String,
        /// What it said it is.
        what: String,
    },
    /// No lab is up.
    #[error("no lab is running: start one with `testbed lab up`")]
    NotRunning,
    /// Ctrl-C or a termination signal.
    #[error("interrupted")]
    Interrupted,
    /// Processes or sockets were left behind.
    #[error("the lab left things behind: {0}")]
    Leftovers(String),
    /// Anything else; says it all.
    #[error("{0}")]
    Other(String),
}

impl LabError {
    /// For `map_err` on file operations.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LabError {
        let path = path.to_owned();
        move |source| LabError::Io {
            doing,
            path,
            source,
        }
    }

    /// A time-out that says what was seen last.
    pub fn timeout(machine: &str, doing: &str, within: Duration, hint: impl Display) -> LabError {
        LabError::Timeout {
            machine: machine.to_owned(),
            doing: doing.to_owned(),
            within_s: within.as_secs(),
            hint: hint.to_string(),
        }
    }
}
