//! HTTP: the start page, status 200, read to its end. The documents are on file server 2.

use std::net::SocketAddr;

use super::ProbeError;
use super::dialogue::{Deadline, Dialogue};

const HEADERS_MAX: usize = 100;
/// Bytes of a page that are read; a longer one is healthy too.
const BODY_MAX: usize = 1024 * 1024;

/// What differs between asking a web server and asking a proxy.
pub(super) struct Steps {
    pub(super) connect: &'static str,
    pub(super) status: &'static str,
    pub(super) headers: &'static str,
    pub(super) body: &'static str,
}

const STEPS: Steps = Steps {
    connect: "HTTP connect",
    status: "HTTP status",
    headers: "HTTP headers",
    body: "HTTP body",
};

pub(super) async fn examine(addr: SocketAddr, deadline: &Deadline) -> Result<(), ProbeError> {
    get(&STEPS, addr, "/", &addr.ip().to_string(), deadline).await
}

/// One GET by HTTP/1.0, so that the end of the connection is the end of the body.
pub(super) async fn get(
    steps: &Steps,
    addr: SocketAddr,
    target: &str,
    host: &str,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let mut talk = Dialogue::connect(steps.connect, addr, deadline).await?;
    let request = format!("GET {target} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: ringward\r\n\r\n");
    talk.send(steps.status, &request).await?;
    let status = talk.line(steps.status, "200").await?;
    if !is_ok(&status) {
        return Err(ProbeError::unexpected(steps.status, "200", &status));
    }
    let length = headers(&mut talk, steps.headers).await?;
    let body = talk
        .rest(
            steps.body,
            "the page",
            length.unwrap_or(BODY_MAX).min(BODY_MAX),
        )
        .await?;
    match length {
        _ if body.is_empty() => Err(ProbeError::unexpected(steps.body, "a page", b"")),
        Some(length) if body.len() < length.min(BODY_MAX) => Err(ProbeError::Closed {
            step: steps.body,
            expected: "the rest of the page",
        }),
        _ => Ok(()),
    }
}

/// Reads the headers; returns the length the server announces.
async fn headers(talk: &mut Dialogue, step: &'static str) -> Result<Option<usize>, ProbeError> {
    const EXPECTED: &str = "headers that end";
    let mut length = None;
    for _ in 0..HEADERS_MAX {
        let line = talk.line(step, EXPECTED).await?;
        if line.is_empty() {
            return Ok(length);
        }
        let text = String::from_utf8_lossy(&line);
        if let Some((name, value)) = text.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
    }
    Err(ProbeError::unexpected(step, EXPECTED, b"too many headers"))
}

fn is_ok(status: &[u8]) -> bool {
    status.starts_with(b"HTTP/1.") && status.get(8..12).is_some_and(|code| code == b" 200")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, short};

    #[tokio::test]
    async fn a_healthy_server() {
        let server = Server::play(&[
            Act::Hear("GET / HTTP/1.0"),
            Act::Hear("Host: 127.0.0.1"),
            Act::Say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
            Act::Say("lo"),
        ])
        .await;
        examine(server.addr, &Deadline::new(server.ample))
            .await
            .unwrap();
        server.heard_all().await;
    }

    #[tokio::test]
    async fn documents_that_are_not_there() {
        let server = Server::play(&[Act::Say("HTTP/1.1 403 Forbidden\r\n\r\n")]).await;
        let error = examine(server.addr, &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"HTTP status: expected 200, got `HTTP/1.1 403 Forbidden`");
    }

    #[tokio::test]
    async fn half_a_page_and_no_page() {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf";
        let server = Server::play(&[Act::Hear("GET"), Act::Say(half)]).await;
        let error = examine(server.addr, &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"HTTP body: the server closed the connection, expected the rest of the page");
        let server = Server::play(&[Act::Hear("GET"), Act::Say("HTTP/1.1 200 OK\r\n\r\n")]).await;
        let error = examine(server.addr, &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"HTTP body: expected a page, got ``");
    }

    #[tokio::test]
    async fn a_page_that_stalls() {
        let server =
            Server::play(&[Act::Say("HTTP/1.1 200 OK\r\n\r\nsome of it"), Act::Hang]).await;
        let error = examine(server.addr, &Deadline::new(short())).await;
        insta::assert_snapshot!(error.unwrap_err(), @"HTTP body: no answer within 150 ms");
    }

    #[test]
    fn status_lines() {
        assert!(is_ok(b"HTTP/1.1 200 OK"));
        assert!(is_ok(b"HTTP/1.0 200"));
        assert!(!is_ok(b"HTTP/1.1 2000"[..11].as_ref()));
        assert!(!is_ok(b"HTTP/1.1 500 no"));
        assert!(!is_ok(b"220 ftp"));
    }
}
