//! SMTP: would the server take a message for the probe's mailbox? Nothing is sent.
//!
//! The mailbox is named without a domain, which the server completes with its own: its name is not
//! the same on the real server and on its backup VM.

use std::net::SocketAddr;

use super::dialogue::{Deadline, Dialogue};
use super::{Accounts, ProbeError};

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let mut talk = Dialogue::connect("SMTP connect", addr, deadline).await?;
    talk.reply("SMTP banner", "220").await?;
    talk.ask("SMTP EHLO", "EHLO ringward\r\n", "250").await?;
    talk.ask("SMTP MAIL FROM", "MAIL FROM:<>\r\n", "250")
        .await?;
    let to = format!("RCPT TO:<{}>\r\n", accounts.settings.user);
    talk.ask("SMTP RCPT TO", &to, "250").await?;
    talk.ask("SMTP RSET", "RSET\r\n", "250").await?;
    talk.farewell("QUIT\r\n").await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts, short};

    const GOOD: &[Act] = &[
        Act::Say("220-mail.example\r\n220 ESMTP\r\n"),
        Act::Hear("EHLO ringward"),
        Act::Say("250-mail.example\r\n250-SIZE 1000\r\n250 HELP\r\n"),
        Act::Hear("MAIL FROM:<>"),
        Act::Say("250 2.1.0 Ok\r\n"),
        Act::Hear("RCPT TO:<probe>"),
        Act::Say("250 2.1.5 Ok\r\n"),
        Act::Hear("RSET"),
        Act::Say("250 2.0.0 Ok\r\n"),
        Act::Hear("QUIT"),
        Act::Say("221 2.0.0 Bye\r\n"),
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
    async fn a_mailbox_that_is_not_taken() {
        let mut acts = GOOD[..6].to_vec();
        acts.push(Act::Say("451 4.3.0 <probe>: Temporary lookup failure\r\n"));
        let server = Server::play(&acts).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"SMTP RCPT TO: expected 250, got `451 4.3.0 <probe>: Temporary lookup failure`");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up() {
        let server = Server::play(&GOOD[..4]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        insta::assert_snapshot!(error.unwrap_err(), @"SMTP MAIL FROM: the server closed the connection, expected 250");
    }

    #[tokio::test]
    async fn a_silent_server_and_a_dripping_one_cost_the_deadline_only() {
        for acts in [
            &[Act::Hang][..],
            &[Act::Drip("220 so slow that nobody waits\r\n")],
        ] {
            let server = Server::play(acts).await;
            let error = examine(server.addr, &accounts(), &Deadline::new(short())).await;
            let expected = "SMTP banner: no answer within 150 ms";
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_a_wrong_answer() {
        let server = Server::play(&[Act::Flood(b'2'), Act::Hang]).await;
        let error = examine(server.addr, &accounts(), &Deadline::new(server.ample)).await;
        assert!(matches!(
            error,
            Err(ProbeError::Unexpected {
                step: "SMTP banner",
                ..
            })
        ));
    }

    #[tokio::test]
    async fn nothing_listens() {
        let addr = Server::nobody().await;
        let error = examine(addr, &accounts(), &Deadline::new(short()))
            .await
            .unwrap_err();
        assert_eq!(
            error,
            ProbeError::Refused {
                step: "SMTP connect"
            }
        );
    }
}
