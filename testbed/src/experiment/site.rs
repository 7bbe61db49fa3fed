//! What an experiment needs of the place it runs on.
//!
//! The lab implements [`Site`]; tests of the experiments' logic use a scripted one. An experiment
//! reaches machines by nothing else, so whatever it does can be done to real servers too.

use crate::report::clock;
use ringward::cluster::{Daemon, Mac, Profile, ServerType, Settings};
use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A server of the ring as the site knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteServer {
    /// Host name.
    pub name: String,
    /// Host name of its backup VM.
    pub vm: String,
    /// Its own address (IPR).
    pub ip: Ipv4Addr,
    /// The address that clients use (VIP).
    pub vip: Ipv4Addr,
    /// Its hardware address.
    pub mac: Mac,
    /// Its service programs: the units to stop, the protocols to access it by.
    pub daemons: Vec<Daemon>,
    /// How its function weighs the loads of a host.
    pub server_type: ServerType,
}

/// Host names of machines that are no servers.
pub mod node {
    /// Holds the share.
    pub const FILE1: &str = "file1";
    /// Holds the users' data.
    pub const FILE2: &str = "file2";
    /// Plays the users.
    pub const CLIENT: &str = "client";
}

/// What a command on a machine left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; 128 and above for a signal.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A file that the site itself keeps about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the run directory.
    pub name: String,
    /// One line for the run directory's README.
    pub about: String,
}

/// How a machine is to be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Power on.
    On,
    /// Power off at once, as a power cut.
    Cut,
    /// Power off at once, and no wake-on-LAN switches it on again.
    Unplug,
    /// Stop in the middle of whatever it does.
    Freeze,
}

/// Circumstances that a report states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Processor and system of the machine that runs the lab.
    pub host: String,
    /// Accelerator and why it was chosen.
    pub accelerator: String,
    /// Versions and sizes by name.
    pub versions: std::collections::BTreeMap<String, String>,
}

/// That others slowed the host of the machines: neighbours of a virtual one, which nothing else shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Slowed {
    /// When it began and ended, by the clock that stamps the LAN capture.
    #[serde(skip)]
    pub from: Duration,
    /// See `from`.
    #[serde(skip)]
    pub until: Duration,
    /// How many seconds of that the host was slow.
    pub lasted_s: f64,
    /// How many times as long as usual memory took then.
    pub times: f64,
}

impl fmt::Display for Slowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "others slowed the host for {} s between {} and {}: memory took {:.1} times as long as usual",
            self.lasted_s,
            clock::display(self.from),
            clock::display(self.until),
            self.times
        )
    }
}

/// A place with a ring of servers, two file servers and a client.
pub trait Site {
    /// The servers in ring order.
    fn servers(&self) -> Vec<SiteServer>;

    /// Brings the site to its ready state: every machine up, golden states made, managers at rest.
    /// `fresh` forbids the use of anything saved. `say` hears what is going on.
    ///
    /// # Errors
    /// When the site cannot be brought up.
    fn prepare(
        &mut self,
        profile: Profile,
        fresh: bool,
        say: &mut dyn FnMut(&str),
    ) -> anyhow::Result<()>;

    /// Ends the site; `keep` leaves its machines running for a look.
    ///
    /// # Errors
    /// When something is left behind.
    fn finish(&mut self, keep: bool) -> anyhow::Result<()>;

    /// Time since 1970 by the clock that stamps the LAN capture.
    fn now(&self) -> Duration;

    /// Waits.
    ///
    /// # Errors
    /// When the operator interrupts.
    fn sleep(&self, time: Duration) -> anyhow::Result<()>;

    /// Runs a command on a machine as root.
    ///
    /// # Errors
    /// When the machine does not carry it out within the time; not when the command fails.
    fn exec(&self, node: &str, argv: &[&str], within: Duration) -> anyhow::Result<Ran>;

    /// Starts a command on a machine as root and does not wait for it: what comes of one that ends
    /// the machine's programs shows elsewhere.
    ///
    /// # Errors
    /// When the machine does not take the order.
    fn start(&self, node: &str, argv: &[&str]) -> anyhow::Result<()>;

    /// What a file on a machine holds from the byte `from` on. Starts no process there.
    ///
    /// # Errors
    /// When the machine does not answer, or has no such file.
    fn read_on(&self, node: &str, path: &str, from: u64) -> anyhow::Result<Vec<u8>>;

    /// True while the machine runs: it has power and is not frozen.
    fn is_on(&self, node: &str) -> bool;

    /// True when the machine takes commands: one that boots does not yet. Asks nothing of the machine.
    fn answers(&self, node: &str) -> bool;

    /// Switches a machine.
    ///
    /// # Errors
    /// When it cannot be done.
    fn power(&mut self, node: &str, switch: Switch) -> anyhow::Result<()>;

    /// A machine shuts down, ordered by whomever: where machines share processors, what it does until it has
    /// booted again must not be in the way of the others.
    fn shuts_down(&self, node: &str);

    /// A machine has booted, and its services work, as others have seen.
    fn is_up(&self, node: &str);

    /// How others slowed the machines' host since then, if they did.
    fn slowed(&self, since: Duration) -> Option<Slowed>;

    /// The LAN capture of the run, complete up to now.
    ///
    /// # Errors
    /// When it cannot be written out.
    fn capture(&self) -> anyhow::Result<PathBuf>;

    /// Serial consoles and whatever else the site keeps about its machines.
    fn artefacts(&self) -> Vec<Artefact>;

    /// Where a calibration of this site is kept from one run to the next. None before it is
    /// prepared: which one it is depends on that.
    ///
    /// # Errors
    /// When there is no place to keep anything.
    fn calibration_path(&self) -> anyhow::Result<Option<PathBuf>>;

    /// What the report says about the circumstances.
    fn facts(&self) -> Facts;
}

/// The cluster's settings, as its servers read them.
///
/// # Errors
/// When file server 1 does not hand them out, or they are none.
pub fn settings(site: &dyn Site) -> anyhow::Result<Settings> {
    const PATH: &str = "/share/cluster.toml";
    const WITHIN: Duration = Duration::from_secs(60);
    let text = output(site, node::FILE1, &["cat", PATH], WITHIN)?;
    Ok(Settings::parse(PATH, &text)?)
}

/// Runs a command that must succeed and returns what it printed.
///
/// # Errors
/// When it cannot be run or ends with another status than 0; says which command, where, and what
/// it printed.
pub fn output(
    site: &dyn Site,
    node: &str,
    argv: &[&str],
    within: Duration,
) -> anyhow::Result<String> {
    let ran = site.exec(node, argv, within)?;
    if ran.status == 0 {
        return Ok(ran.text());
    }
    let said = String::from_utf8_lossy(if ran.stderr.is_empty() {
        &ran.stdout
    } else {
        &ran.stderr
    })
    .trim()
    .to_owned();
    anyhow::bail!(
        "`{}` on {node} ended with status {}: {said}",
        argv.join(" "),
        ran.status
    )
}
