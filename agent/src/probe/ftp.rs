//! FTP: login (anonymous unless set otherwise) and a listing that lists. This reaches the FTP tree on file server 2.

use std::net::SocketAddr;

use super::dialogue::{Deadline, Dialogue};
use super::{Accounts, ProbeError};

/// Bytes of a listing that are read; a longer one is healthy too.
const LISTING_MAX: usize = 64 * 1024;

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let mut talk = Dialogue::connect("FTP connect", addr, deadline).await?;
    talk.reply("FTP banner", "220").await?;
    let user = format!("USER {}\r\n", accounts.settings.ftp_user);
    // A server may let a user in without a password.
    if talk.ask_any("FTP USER", &user, &["331", "230"]).await? == "331" {
        let password = format!("PASS {}\r\n", accounts.settings.ftp_password);
        talk.ask("FTP PASS", &password, "230").await?;
    }
    let passive = talk.ask("FTP PASV", "PASV\r\n", "227").await?;
    let port = passive_port(&passive)
        .ok_or_else(|| ProbeError::unexpected("FTP PASV", "227 with a port", passive.as_bytes()))?;
    // The address in the answer is ignored: behind a virtual address it may be the real one.
    let data = SocketAddr::new(addr.ip(), port);
    let mut data = Dialogue::connect("FTP data connection", data, deadline).await?;
    talk.ask("FTP LIST", "LIST\r\n", "150").await?;
    let listing = data.rest("FTP listing", "a listing", LISTING_MAX).await?;
    if listing.iter().all(u8::is_ascii_whitespace) {
        return Err(ProbeError::unexpected(
            "FTP listing",
            "at least one file",
            &listing,
        ));
    }
    talk.reply("FTP end of listing", "226").await?;
    talk.farewell("QUIT\r\n").await;
    Ok(())
}

/// The port of `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2).`
fn passive_port(reply: &str) -> Option<u16> {
    let inside = reply.split_once('(')?.1.split_once(')')?.0;
    let numbers: Vec<u8> = inside
        .split(',')
        .map(|n| n.trim().parse().ok())
        .collect::<Option<_>>()?;
    match numbers[..] {
        [_, _, _, _, high, low] => Some((u16::from(high) << 8) | u16::from(low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts, short};

    fn login() -> Vec<Act> {
        vec![
            Act::Say("220 (vsFTPd)\r\n"),
            Act::Hear("USER anonymous"),
            Act::Say("331 Please specify the password.\r\n"),
            Act::Hear("PASS probe@"),
            Act::Say("230-Welcome.\r\n 230 words\r\n230 Login successful.\r\n"),
            Act::Hear("PASV"),
        ]
    }

    /// A control connection that announces `data`'s port and lists.
    async fn lister(data: &Server, listed: &'static [Act]) -> Server {
        let mut acts = login();
        acts.push(Act::SayPassive(data.addr.port()));
        acts.extend_from_slice(listed);
        Server::play(&acts).await
    }

    const LISTED: &[Act] = &[
        Act::Hear("LIST"),
        Act::Say("150 Here comes the directory listing.\r\n"),
        Act::Say("226 Directory send OK.\r\n"),
        Act::Hear("QUIT"),
        Act::Say("221 Goodbye.\r\n"),
    ];

    #[tokio::test]
    async fn a_healthy_server() {
        let data = Server::play(&[Act::Say("-rw-r--r-- 1 0 0 3 Jan 01 00:00 hello\r\n")]).await;
        let server = lister(&data, LISTED).await;
        examine(server.addr, &accounts(), &Deadline::new(server.ample))
            .await
            .unwrap();
        server.heard_all().await;
    }

    #[tokio::test]
    async fn a_server_that_wants_no_password() {
        let data = Server::play(&[Act::Say("-rw-r--r-- 1 0 0 3 Jan 01 00:00 hello\r\n")]).await;
        let mut acts = login()[..2].to_vec();
        acts.extend([Act::Say("230 Login successful.\r\n"), Act::Hear("PASV")]);
        acts.push(Act::SayPassive(data.addr.port()));
        acts.extend_from_slice(LISTED);
        let server = Server::play(&acts).await;
        examine(server.addr, &accounts(), &Deadline::new(server.ample))
            .await
            .unwrap();
        server.heard_all().await;
    }

    #[tokio::test]
    async fn a_user_that_is_not_let_in() {
        let acts = [
            login()[0],
            login()[1],
            Act::Say("530 This server is full.\r\n"),
        ];
        let server = Server::play(&acts).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"FTP USER: expected 331, got `530 This server is full.`");
    }

    #[tokio::test]
    async fn an_empty_tree_is_trouble() {
        let data = Server::play(&[]).await;
        let server = lister(&data, LISTED).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"FTP listing: expected at least one file, got ``");
    }

    #[tokio::test]
    async fn a_listing_that_hangs() {
        let data = Server::play(&[Act::Hang]).await;
        let server = lister(&data, LISTED).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(short())).await;
        insta::assert_snapshot!(error.unwrap_err(), @"FTP listing: no answer within 150 ms");
    }

    #[tokio::test]
    async fn a_server_that_is_full() {
        let server = Server::play(&[Act::Say("421 There are too many connections.\r\n")]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"FTP banner: expected 220, got `421 There are too many connections.`");
    }

    #[test]
    fn ports_of_passive_mode() {
        assert_eq!(passive_port("227 Entering (10,0,0,1,4,1)."), Some(1025));
        assert_eq!(passive_port("227 Entering (10,0,0,1,4)."), None);
        assert_eq!(passive_port("227 Entering (10,0,0,1,400,1)."), None);
        assert_eq!(passive_port("227 nothing"), None);
    }
}
