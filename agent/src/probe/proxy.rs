//! Proxy: fetch a page through it.
//!
//! A page of a single web server would make the proxy look broken whenever that web server is. So
//! several pages may be set, with spaces between them; they are fetched at the same time and one
//! that comes is enough.

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::dialogue::Deadline;
use super::{Accounts, ProbeError, http};

const STEPS: http::Steps = http::Steps {
    connect: "proxy connect",
    status: "proxy status",
    headers: "proxy headers",
    body: "proxy body",
};

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let pages = accounts.settings.proxy_url.split_whitespace();
    let mut fetches: FuturesUnordered<_> = pages.map(|url| fetch(addr, url, deadline)).collect();
    let mut last = ProbeError::Examiner {
        step: "proxy settings",
        reason: "no page is set to fetch through the proxy, expected at least one URL".into(),
    };
    while let Some(result) = fetches.next().await {
        match result {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn fetch(addr: SocketAddr, url: &str, deadline: &Deadline) -> Result<(), ProbeError> {
    let host = host_of(url).ok_or_else(|| ProbeError::Examiner {
        step: "proxy settings",
        reason: format!("`{url}` is set to be fetched, expected http://HOST/PATH"),
    })?;
    http::get(&STEPS, addr, url, host, deadline).await
}

/// The host (and port) of an absolute http URL.
fn host_of(url: &str) -> Option<&str> {
    let host = url.strip_prefix("http://")?.split('/').next()?;
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts, short};

    #[tokio::test]
    async fn a_healthy_proxy_is_asked_in_absolute_form() {
        let server = Server::play(&[
            Act::Hear("GET http://web.example/ HTTP/1.0"),
            Act::Hear("Host: web.example"),
            Act::Say("HTTP/1.1 200 OK\r\n\r\npage"),
        ])
        .await;
        examine(server.addr, &accounts(), &Deadline::new(server.ample))
            .await
            .unwrap();
        server.heard_all().await;
    }

    #[tokio::test]
    async fn an_origin_that_is_down() {
        let server =
            Server::play(&[Act::Say("HTTP/1.1 503 Service Unavailable\r\n\r\nsorry")]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"proxy status: expected 200, got `HTTP/1.1 503 Service Unavailable`");
    }

    #[tokio::test]
    async fn one_page_of_several_is_enough() {
        let server = Server::play_each(&[
            &[
                Act::Hear("GET"),
                Act::Say("HTTP/1.1 503 Service Unavailable\r\n\r\n"),
            ],
            &[Act::Hear("GET"), Act::Say("HTTP/1.1 200 OK\r\n\r\npage")],
        ])
        .await;
        let accounts = with_pages("http://web1.example/ http://web2.example/");
        examine(server.addr, &accounts, &Deadline::new(server.ample))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn settings_that_name_no_page_are_our_own_trouble() {
        let addr = Server::nobody().await;
        for pages in ["", "ftp://x/", "http:///path"] {
            let accounts = with_pages(pages);
            let error = examine(addr, &accounts, &Deadline::new(short()))
                .await
                .unwrap_err();
            assert!(error.is_examiners_own(), "{error}");
        }
    }

    fn with_pages(pages: &str) -> Accounts {
        let mut accounts = accounts();
        accounts.settings.proxy_url = pages.into();
        accounts
    }
}
