//! IMAP: can the probe's account open its inbox? This reaches the mail spool on file server 2.

use std::net::SocketAddr;

use super::dialogue::{Deadline, Dialogue};
use super::{Accounts, ProbeError};

/// Untagged lines taken before the answer to a command; more is a wrong answer.
const UNTAGGED_MAX: usize = 100;

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let mut talk = Dialogue::connect("IMAP connect", addr, deadline).await?;
    let greeting = talk.line("IMAP greeting", "* OK").await?;
    if !greeting.starts_with(b"* OK") {
        return Err(ProbeError::unexpected("IMAP greeting", "* OK", &greeting));
    }
    let (user, password) = (
        quoted(&accounts.settings.user),
        quoted(&accounts.settings.password),
    );
    command(
        &mut talk,
        "IMAP LOGIN",
        "a",
        "a OK",
        &format!("LOGIN {user} {password}"),
    )
    .await?;
    command(&mut talk, "IMAP SELECT INBOX", "b", "b OK", "SELECT INBOX").await?;
    talk.farewell("c LOGOUT\r\n").await;
    Ok(())
}

async fn command(
    talk: &mut Dialogue,
    step: &'static str,
    tag: &str,
    expected: &'static str,
    text: &str,
) -> Result<(), ProbeError> {
    talk.send(step, &format!("{tag} {text}\r\n")).await?;
    for _ in 0..UNTAGGED_MAX {
        let line = talk.line(step, expected).await?;
        if line.starts_with(expected.as_bytes()) {
            return Ok(());
        }
        if !line.starts_with(b"* ") {
            return Err(ProbeError::unexpected(step, expected, &line));
        }
    }
    Err(ProbeError::unexpected(
        step,
        expected,
        b"too many untagged lines",
    ))
}

/// A quoted string of RFC 3501.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts, short};

    const GOOD: &[Act] = &[
        Act::Say("* OK [CAPABILITY IMAP4rev1] ready\r\n"),
        Act::Hear("a LOGIN \"probe\" \"secret\""),
        Act::Say("* CAPABILITY IMAP4rev1\r\na OK Logged in\r\n"),
        Act::Hear("b SELECT INBOX"),
        Act::Say("* FLAGS (\\Seen)\r\n* 0 EXISTS\r\nb OK [READ-WRITE] done\r\n"),
        Act::Hear("c LOGOUT"),
        Act::Say("* BYE\r\nc OK\r\n"),
    ];

    #[tokio::test]
    async fn a_healthy_server() {
        let server = Server::play(GOOD).await;
        examine(server.addr, &accounts(), &Deadline::new(server.ample))
            .await
            .unwrap();
        server.heard_all().await;
    }

    #[tokio::test]
    async fn a_spool_that_is_not_there() {
        let mut acts = GOOD[..4].to_vec();
        acts.push(Act::Say("b NO [SERVERBUG] Internal error occurred\r\n"));
        let server = Server::play(&acts).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"IMAP SELECT INBOX: expected b OK, got `b NO [SERVERBUG] Internal error occurred`");
    }

    #[tokio::test]
    async fn a_server_that_says_bye_or_nothing() {
        let server = Server::play(&[Act::Say("* BYE overloaded\r\n")]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"IMAP greeting: expected * OK, got `* BYE overloaded`");
        let server = Server::play(&[GOOD[0], GOOD[1], Act::Hang]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(short())).await;
        insta::assert_snapshot!(error.unwrap_err(), @"IMAP LOGIN: no answer within 150 ms");
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
