//! A conversation over TCP under a deadline, with limits on everything the server may send.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::ProbeError;
use crate::cluster::PATIENCE;

/// The longest line taken from a server; a longer one is a wrong answer.
const LINE_MAX: usize = 2048;
/// The most lines of one reply; more is a wrong answer.
const REPLY_LINES_MAX: usize = 100;
/// How long a farewell may take once the service is known to be healthy.
const FAREWELL: Duration = Duration::from_millis(250);

/// Until when an examination waits: for the next answer, and for the last one.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    last: Instant,
    whole: Duration,
    within: Duration,
    connect_within: Duration,
    /// When the server last said anything.
    heard: Arc<Mutex<Instant>>,
}

impl Deadline {
    /// For the whole exchange.
    pub(super) fn new(within: Duration) -> Self {
        Self::of(within, within)
    }

    /// For each answer; the whole exchange may take [`PATIENCE`] times as long.
    pub(super) fn patient(within: Duration) -> Self {
        Self::of(within, within * PATIENCE)
    }

    fn of(within: Duration, whole: Duration) -> Self {
        let now = Instant::now();
        Self {
            last: now + whole,
            whole,
            within,
            connect_within: within,
            heard: Arc::new(Mutex::new(now)),
        }
    }

    /// Gives up on each connection sooner than on answers.
    pub(super) fn connecting_within(self, connect_within: Duration) -> Self {
        Self {
            connect_within: connect_within.min(self.within),
            ..self
        }
    }

    /// When nothing more is waited for, if the server says nothing until then.
    pub(super) fn at(&self) -> Instant {
        self.last.min(*self.lock() + self.within)
    }

    /// Time for the whole exchange.
    pub(super) fn whole(&self) -> Duration {
        self.whole
    }

    /// The server said something.
    fn heard(&self) {
        *self.lock() = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A TCP connection for small messages.
    pub(super) async fn connect(
        &self,
        step: &'static str,
        addr: SocketAddr,
    ) -> Result<Heard, ProbeError> {
        let mut until = Self::new(self.connect_within);
        until.last = until.last.min(self.at());
        let stream = until
            .run(step, "a connection", TcpStream::connect(addr))
            .await?;
        self.heard();
        // Each message waits for its answer: Nagle would only add delay.
        let _ = stream.set_nodelay(true);
        let deadline = self.clone();
        Ok(Heard { stream, deadline })
    }

    /// Runs one step; what it fails with names the step.
    pub(super) async fn run<T>(
        &self,
        step: &'static str,
        expected: &'static str,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, ProbeError> {
        let mut work = pin!(work);
        loop {
            let at = self.at();
            match timeout_at(at, &mut work).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => return Err(ProbeError::from_io(step, expected, &error)),
                // It has said something meanwhile.
                Err(_) if at < self.at() => {}
                Err(_) => {
                    let within = if at < self.last {
                        self.within
                    } else {
                        self.whole
                    };
                    return Err(ProbeError::NoAnswer { step, within });
                }
            }
        }
    }
}

/// A connection that tells its deadline when the server says something.
pub(super) struct Heard {
    stream: TcpStream,
    deadline: Deadline,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.deadline.heard();
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A TCP connection that is read by lines.
pub(super) struct Dialogue {
    stream: Heard,
    deadline: Deadline,
    /// Received and not yet consumed.
    pending: Vec<u8>,
}

impl Dialogue {
    pub(super) async fn connect(
        step: &'static str,
        addr: SocketAddr,
        deadline: &Deadline,
    ) -> Result<Self, ProbeError> {
        let stream = deadline.connect(step, addr).await?;
        Ok(Self {
            stream,
            deadline: deadline.clone(),
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
    use crate::probe::script::{Act, Server, short};

    /// Says a line for longer than the time for an answer, but each byte in time.
    async fn slow_line(deadline: &Deadline) -> Result<Vec<u8>, ProbeError> {
        let server = Server::play(&[Act::Drip("220 busy, but not dead\r\n")]).await;
        let mut talk = Dialogue::connect("connect", server.addr, deadline).await?;
        talk.line("banner", "220").await
    }

    #[tokio::test]
    async fn slow_is_not_silent() {
        let within = short() * 6;
        let slow = slow_line(&Deadline::patient(within)).await;
        assert_eq!(slow.unwrap(), b"220 busy, but not dead");
        let no_answer = |within| {
            Err(ProbeError::NoAnswer {
                step: "banner",
                within,
            })
        };
        assert_eq!(slow_line(&Deadline::new(within)).await, no_answer(within));
        let endless = slow_line(&Deadline::patient(short() * 2)).await;
        assert!(matches!(endless, Err(ProbeError::NoAnswer { .. })));
        let server = Server::play(&[Act::Hang]).await;
        let deadline = Deadline::patient(short());
        let mut talk = Dialogue::connect("connect", server.addr, &deadline)
            .await
            .unwrap();
        assert_eq!(talk.line("banner", "220").await, no_answer(short()));
    }

    #[test]
    fn the_last_line_of_a_reply_has_no_dash() {
        assert!(ends_reply(b"250 done", "250"));
        assert!(ends_reply(b"250", "250"));
        assert!(!ends_reply(b"250-more", "250"));
        assert!(!ends_reply(b" 250 indented text of a banner", "250"));
    }
}
