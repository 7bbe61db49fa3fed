//! Follows the servers' system logs on the share while an experiment runs.

use super::site::{self, Site, node};
use crate::report::story::{self, Entry, Story};
use std::collections::BTreeMap;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(60);

/// Prints, for every argument `server:offset`, a line `@@ server`, what the log holds from the
/// offset on, and a line end.
const SCRIPT: &str = "for a in \"$@\"; do s=${a%%:*}; echo \"@@ $s\"
tail -c +${a##*:} /share/log/$s.log 2>/dev/null; echo; done";

/// Reads what is new in every log.
#[derive(Debug)]
pub struct Follower {
    /// Bytes already read, by server.
    read: BTreeMap<String, usize>,
    /// Everything read since the start.
    story: Story,
}

impl Follower {
    /// Starts at the present end of every log.
    ///
    /// # Errors
    /// When file server 1 does not answer.
    pub fn start(site: &dyn Site) -> anyhow::Result<Self> {
        let read = site
            .servers()
            .into_iter()
            .map(|server| (server.name, 0))
            .collect();
        let mut follower = Self {
            read,
            story: Story::default(),
        };
        follower.poll(site)?;
        follower.story = Story::default();
        Ok(follower)
    }

    /// Reads the lines that were completed since the last look; returns them by server.
    ///
    /// # Errors
    /// When file server 1 does not answer.
    pub fn poll(&mut self, site: &dyn Site) -> anyhow::Result<Vec<(String, Entry)>> {
        let from: Vec<String> = self
            .read
            .iter()
            .map(|(server, read)| format!("{server}:{}", read + 1))
            .collect();
        let mut argv = vec!["sh", "-c", SCRIPT, "sh"];
        argv.extend(from.iter().map(String::as_str));
        let text = site::output(site, node::FILE1, &argv, LOOK)?;
        let mut fresh = Vec::new();
        for (server, added) in parts(&text) {
            let Some(read) = self.read.get_mut(server) else {
                continue;
            };
            *read += added.len();
            let entries = story::parse(added, site.now());
            fresh.extend(
                entries
                    .iter()
                    .map(|entry| (server.to_owned(), entry.clone())),
            );
            self.story
                .logs
                .entry(server.to_owned())
                .or_default()
                .extend(entries);
        }
        Ok(fresh)
    }

    /// Everything read since the start.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.story
    }
}

/// Server and complete new lines, from what [`SCRIPT`] printed.
fn parts(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for part in text.split("@@ ").skip(1) {
        let Some((server, body)) = part.split_once('\n') else {
            continue;
        };
        // The script's own line end closes the last line if that was not complete.
        let body = body.strip_suffix('\n').unwrap_or(body);
        let complete = body.rfind('\n').map_or("", |end| &body[..=end]);
        found.push((server, complete));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_complete_waits_for_the_next_look() {
        let text = "@@ ftp\n12:00:00.00 Wait\n12:00:01.0\n@@ web1\n\n@@ web2\n12:00:00.00 Wait\n\n";
        assert_eq!(
            parts(text),
            [
                ("ftp", "12:00:00.00 Wait\n"),
                ("web1", ""),
                ("web2", "12:00:00.00 Wait\n")
            ]
        );
    }
}
