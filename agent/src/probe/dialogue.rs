//! A conversation over TCP under one deadline, with limits on everything the server may send.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::ProbeError;

/// The longest line taken from a server; a longer one is a wrong answer.
const LINE_MAX: usize = 2048;
/// The most lines of one reply; more is a wrong answer.
const REPLY_LINES_MAX: usize = 100;
/// How long a farewell may take once the service is known to be healthy.
const FAREWELL: Duration = Duration::from_millis(250);

/// The one deadline of an examination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    within: Duration,
    connect_within: Duration,
}

impl Deadline {
    pub(super) fn new(within: Duration) -> Self {
        Self {
            at: Instant::now() + within,
            within,
            connect_within: within,
        }
    }

    /// Gives up on each connection sooner than on answers.
    pub(super) fn connecting_within(self, connect_within: Duration) -> Self {
        Self {
            connect_within: connect_within.min(self.within),
            ..self
        }
    }

    pub(super) fn at(self) -> Instant {
        self.at
    }

    pub(super) fn within(self) -> Duration {
        self.within
    }

    /// A TCP connection for small messages.
    pub(super) async fn connect(
        self,
        step: &'static str,
        addr: SocketAddr,
    ) -> Result<TcpStream, ProbeError> {
        let until = Self {
            at: self.at.min(Instant::now() + self.connect_within),
            within: self.connect_within,
            ..self
        };
        let stream = until
            .run(step, "a connection", TcpStream::connect(addr))
            .await?;
        // Each message waits for its answer: Nagle would only add delay.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Runs one step; what it fails with names the step.
    pub(super) async fn run<T>(
        self,
        step: &'static str,
        expected: &'static str,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, ProbeError> {
        match timeout_at(self.at, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ProbeError::from_io(step, expected, &error)),
            Err(_) => Err(ProbeError::NoAnswer {
                step,
                within: self.within,
            }),
        }
    }
}

/// A TCP connection that is read by lines.
pub(super) struct Dialogue {
    stream: TcpStream,
    deadline: Deadline,
    /// Received and not yet consumed.
    pending: Vec<u8>,
}

impl Dialogue {
    pub(super) async fn connect(
        step: &'static str,
        addr: SocketAddr,
        deadline: Deadline,
    ) -> Result<Self, ProbeError> {
        let stream = deadline.connect(step, addr).await?;
        Ok(Self {
            stream,
            deadline,
            pending: Vec::new(),
        })
    }

    pub(super) async fn send(&mut self, step: &'static str, text: &str) -> Result<(), ProbeError> {
        let work = self.stream.write_all(text.as_bytes());
        self.deadline
            .run(step, "the command to be taken", work)
            .await
    }

    /// One line without its end.
    pub(super) async fn line(
        &mut self,
        step: &'static str,
        expected: &'static str,
    ) -> Result<Vec<u8>, ProbeError> {
        loop {
            if let Some(end) = self.pending.iter().position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=end).collect();
                while matches!(line.last(), Some(b'\n' | b'\r')) {
                    line.pop();
                }
                return Ok(line);
            }
            if self.pending.len() > LINE_MAX {
                return Err(ProbeError::unexpected(step, expected, &self.pending));
            }
            if self.fill(step, expected).await? == 0 {
                return Err(ProbeError::Closed { step, expected });
            }
        }
    }

    /// Everything up to the end of the connection, at most `max` bytes of it.
    pub(super) async fn rest(
        &mut self,
        step: &'static str,
        expected: &'static str,
        max: usize,
    ) -> Result<Vec<u8>, ProbeError> {
        while self.pending.len() < max && self.fill(step, expected).await? > 0 {}
        Ok(std::mem::take(&mut self.pending))
    }

    /// A reply of SMTP or FTP: three digits, with `-` after them on all lines but the last.
    /// `expected` is the code of a healthy server, e.g. `"250"`. Returns the last line.
    pub(super) async fn reply(
        &mut self,
        step: &'static str,
        expected: &'static str,
    ) -> Result<String, ProbeError> {
        self.reply_any(step, &[expected])
            .await
            .map(|(_, last)| last)
    }

    /// A reply with one of several codes, the likeliest first; returns which and the last line.
    async fn reply_any(
        &mut self,
        step: &'static str,
        expected: &[&'static str],
    ) -> Result<(&'static str, String), ProbeError> {
        let likeliest = expected.first().copied().unwrap_or_default();
        let first = self.line(step, likeliest).await?;
        let Some(code) = expected
            .iter()
            .copied()
            .find(|code| first.starts_with(code.as_bytes()))
        else {
            return Err(ProbeError::unexpected(step, likeliest, &first));
        };
        let mut last = first;
        let mut lines = 1;
        while !ends_reply(&last, code) {
            last = self.line(step, code).await?;
            lines += 1;
            if lines > REPLY_LINES_MAX {
                return Err(ProbeError::unexpected(step, "a reply that ends", &last));
            }
        }
        Ok((code, String::from_utf8_lossy(&last).into_owned()))
    }

    /// Sends a command and takes its reply.
    pub(super) async fn ask(
        &mut self,
        step: &'static str,
        command: &str,
        expected: &'static str,
    ) -> Result<String, ProbeError> {
        self.send(step, command).await?;
        self.reply(step, expected).await
    }

    /// Sends a command that may be answered with one of several codes; returns which.
    pub(super) async fn ask_any(
        &mut self,
        step: &'static str,
        command: &str,
        expected: &[&'static str],
    ) -> Result<&'static str, ProbeError> {
        self.send(step, command).await?;
        self.reply_any(step, expected).await.map(|(code, _)| code)
    }

    /// Takes leave politely. The service has answered by now, so whatever comes is ignored.
    pub(super) async fn farewell(mut self, command: &str) {
        let until = (Instant::now() + FAREWELL).min(self.deadline.at());
        let _ = timeout_at(until, async {
            self.stream.write_all(command.as_bytes()).await?;
            self.stream.read(&mut [0; 256]).await
        })
        .await;
    }

    async fn fill(
        &mut self,
        step: &'static str,
        expected: &'static str,
    ) -> Result<usize, ProbeError> {
        let work = self.stream.read_buf(&mut self.pending);
        self.deadline.run(step, expected, work).await
    }
}

/// Whether a line is the last one of a reply with this code.
fn ends_reply(line: &[u8], code: &str) -> bool {
    line.strip_prefix(code.as_bytes())
        .is_some_and(|rest| rest.first() != Some(&b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_reply_has_no_dash() {
        assert!(ends_reply(b"250 done", "250"));
        assert!(ends_reply(b"250", "250"));
        assert!(!ends_reply(b"250-more", "250"));
        assert!(!ends_reply(b" 250 indented text of a banner", "250"));
    }
}
