//! The command line's way to a lab that runs in the background: requests over a unix socket.
//!
//! A request is a line of JSON, and so is each answer. The socket lies in the user's own runtime
//! directory, so the file system decides who may ask.

use super::error::{LabError, Result};
use super::lock;
use super::progress::Step;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// What a power button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Button {
    /// Switch on.
    On,
    /// Shut down in order.
    Off,
    /// Take the power away.
    Cut,
    /// Take the power away for good: nothing wakes it until it is switched on.
    Unplug,
    /// Stop in the middle of whatever it does.
    Freeze,
    /// Let a frozen machine go on.
    Thaw,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Steps of coming up, past and future, until [`Answer::Ready`].
    Follow,
    /// [`Answer::Status`].
    Status,
    /// [`Answer::Done`] when the button has been pressed.
    Power(String, Button),
    /// Run this inside a machine: [`Answer::Ran`].
    Exec(String, Vec<String>),
    /// Where the machine's serial console is: [`Answer::Console`].
    Console(String),
    /// End the lab: [`Answer::Done`] when nothing of it is left.
    Down,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A step of coming up, with the machine it concerns.
    Step(String, Step),
    /// The lab is up.
    Ready,
    /// The state of the lab.
    Status(Status),
    /// What a command printed, and its exit status.
    Ran {
        /// Standard output.
        stdout: Vec<u8>,
        /// Standard error.
        stderr: Vec<u8>,
        /// Exit status.
        code: i32,
    },
    /// A unix socket.
    Console(PathBuf),
    /// It is done.
    Done,
    /// It could not be done.
    Error(String),
}

/// The state of a lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process that runs it.
    pub pid: u32,
    /// `coming up`, `up` or `going down`.
    pub phase: String,
    /// Accelerator and why.
    pub accelerator: String,
    /// Logs, capture, consoles.
    pub run_dir: PathBuf,
    /// The machines.
    pub machines: Vec<MachineStatus>,
}

/// The state of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// `on`, `off` or `frozen`.
    pub power: String,
    /// Seconds since its process started.
    pub for_s: Option<f64>,
    /// Megabytes its process has in memory.
    pub resident_mb: u64,
}

/// Where requests go.
pub fn socket() -> Result<PathBuf> {
    Ok(lock::runtime_dir()?.join("control"))
}

/// A connection to the lab that is running.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects; an error if no lab runs in the background.
    pub fn connect() -> Result<Client> {
        let stream = UnixStream::connect(socket()?).map_err(|_| LabError::NotRunning)?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// Asks and returns the first answer; an answer that is an error is an error.
    pub fn ask(&mut self, request: &Request) -> Result<Answer> {
        send(self.stream.get_mut(), request)?;
        self.next_answer()
    }

    /// The next answer.
    pub fn next_answer(&mut self) -> Result<Answer> {
        match receive(&mut self.stream)? {
            Some(Answer::Error(what)) => Err(LabError::Other(what)),
            Some(answer) => Ok(answer),
            None => Err(LabError::Other(
                "the lab ended while it was asked; see lab.log in its run directory".to_owned(),
            )),
        }
    }

    /// A copy of the connection, to shut it down from elsewhere.
    pub fn stream(&self) -> Result<UnixStream> {
        self.stream.get_ref().try_clone().map_err(broken)
    }
}

/// Writes a message.
pub fn send<T: Serialize>(to: &mut UnixStream, message: &T) -> Result<()> {
    let text = serde_json::to_string(message).map_err(|e| LabError::Other(e.to_string()))?;
    to.write_all(format!("{text}\n").as_bytes()).map_err(broken)
}

/// Reads a message; none at the end.
pub fn receive<T: DeserializeOwned>(from: &mut BufReader<UnixStream>) -> Result<Option<T>> {
    let mut line = String::new();
    match from.read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => serde_json::from_str(&line)
            .map(Some)
            .map_err(|e| LabError::Other(format!("the lab and this command do not fit: {e}"))),
        Err(e) => Err(broken(e)),
    }
}

fn broken(e: std::io::Error) -> LabError {
    LabError::Other(format!("the connection to the lab broke: {e}"))
}
