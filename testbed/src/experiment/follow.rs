//! Follows the servers' system logs on the share while an experiment runs.
//!
//! To start a process is much work for an emulated machine, and file server 1 is what all wait for in a
//! recovery. So one process there puts what all logs get into one file, and a look is a reading of that file.

use super::site::{self, Site, node};
use crate::report::story::{self, Entry, Story};
use anyhow::bail;
use std::collections::BTreeMap;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Where the collected lines are, on file server 1.
pub const COLLECTED: &str = "/run/collected.log";

/// Follows the logs that it is given into the file that it is called by, and names one before lines of it.
/// The file is there when this has ended.
const COLLECT: &str = "systemctl stop --quiet collect.service
systemd-run --quiet --collect --unit=collect -p Type=exec -p StandardOutput=truncate:$0 tail -n 0 -F \"$@\"";

/// Reads what is new in every log.
#[derive(Debug, Default)]
pub struct Follower {
    /// Bytes already read.
    read: u64,
    /// What was read of a line that is not complete.
    rest: Vec<u8>,
    /// Whose lines come next.
    server: String,
    /// Everything read since the start.
    story: Story,
}

impl Follower {
    /// Starts at the present end of every log.
    ///
    /// # Errors
    /// When file server 1 does not answer, or lacks a log.
    pub fn start(site: &dyn Site) -> anyhow::Result<Self> {
        let servers: Vec<String> = site.servers().into_iter().map(|s| s.name).collect();
        let log = |server: &String| format!("/share/log/{server}.log");
        let logs: Vec<String> = servers.iter().map(log).collect();
        let mut argv = vec!["sh", "-c", COLLECT, COLLECTED];
        argv.extend(logs.iter().map(String::as_str));
        site::output(site, node::FILE1, &argv, WITHIN)?;
        let mut follower = Self::default();
        let began = site.now();
        loop {
            // Each is named once when it was found.
            follower.poll(site)?;
            let followed = |server: &&String| follower.story.logs.contains_key(*server);
            let Some(missing) = servers.iter().find(|server| !followed(server)) else {
                return Ok(follower);
            };
            if site.now().saturating_sub(began) > WITHIN {
                bail!("file1: no log of {missing} to follow in /share/log; does its agent run?");
            }
            site.sleep(LOOK_EVERY)?;
        }
    }

    /// Reads the lines that were completed since the last look; returns them by server.
    ///
    /// # Errors
    /// When file server 1 does not answer.
    pub fn poll(&mut self, site: &dyn Site) -> anyhow::Result<Vec<(String, Entry)>> {
        let added = site.read_on(node::FILE1, COLLECTED, self.read)?;
        self.read += added.len() as u64;
        let mut fresh = Vec::new();
        for (server, text) in self.sort(&added) {
            let log = self.story.logs.entry(server.clone()).or_default();
            for entry in story::parse(&text, site.now()) {
                log.push(entry.clone());
                fresh.push((server.clone(), entry));
            }
        }
        Ok(fresh)
    }

    /// The complete lines by server, also of those that were only named.
    fn sort(&mut self, added: &[u8]) -> BTreeMap<String, String> {
        self.rest.extend_from_slice(added);
        let complete = self.rest.iter().rposition(|b| *b == b'\n');
        let lines: Vec<u8> = self
            .rest
            .drain(..complete.map_or(0, |end| end + 1))
            .collect();
        let mut sorted: BTreeMap<String, String> = BTreeMap::new();
        for line in String::from_utf8_lossy(&lines).lines() {
            if let Some(server) = named(line) {
                server.clone_into(&mut self.server);
                sorted.entry(self.server.clone()).or_default();
            } else if !line.is_empty() {
                let text = sorted.entry(self.server.clone()).or_default();
                text.push_str(line);
                text.push('\n');
            }
        }
        sorted
    }

    /// Everything read since the start.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.story
    }
}

/// The server whose lines come next, if it is that which this line says.
fn named(line: &str) -> Option<&str> {
    let path = line.strip_prefix("==> ")?.strip_suffix(" <==")?;
    path.rsplit('/').next()?.strip_suffix(".log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_complete_waits_for_the_next_look() {
        let mut follower = Follower::default();
        let first = "==> /share/log/ftp.log <==\n\n==> /share/log/web1.log <==\n\
                     12:00:00.00 Wait\n12:00:01.0";
        let sorted = follower.sort(first.as_bytes());
        assert_eq!(sorted["ftp"], "");
        assert_eq!(sorted["web1"], "12:00:00.00 Wait\n");
        let next = "1 Wait\n\n==> /share/log/ftp.log <==\n12:00:00.00 P2_wait\n";
        let sorted = follower.sort(next.as_bytes());
        assert_eq!(sorted["web1"], "12:00:01.01 Wait\n");
        assert_eq!(sorted["ftp"], "12:00:00.00 P2_wait\n");
        assert!(follower.sort(b"").is_empty());
        assert_eq!(
            follower.sort(b"12:00:02.00 Wait\n")["ftp"],
            "12:00:02.00 Wait\n"
        );
    }
}
