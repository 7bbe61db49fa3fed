//! SSH: log in with the probe's key and run `true`. Homes are on file server 2.
//!
//! The server's host key is not checked: the backup VM that answers at the same address has another
//! one, and nothing of value is sent. For the same reason the quickest algorithms are asked for.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::client::{self, Handle, Handler};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{ChannelMsg, Disconnect, Preferred, kex};

use super::dialogue::{Deadline, Heard};
use super::{Accounts, ProbeError};

const KEY: &str = "SSH key";
const CONNECT: &str = "SSH connect";
const EXCHANGE: &str = "SSH key exchange";
const LOGIN: &str = "SSH login";
const COMMAND: &str = "SSH `true`";

pub(super) async fn examine(
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let key = read_key(accounts).await?;
    let mut session = greet(deadline.connect(CONNECT, addr).await?, deadline).await?;
    log_in(&mut session, &accounts.settings.user, key, deadline).await?;
    run_true(&session, deadline).await?;
    let farewell = session.disconnect(Disconnect::ByApplication, "", "");
    let _ = tokio::time::timeout_at(deadline.at(), farewell).await;
    Ok(())
}

async fn read_key(accounts: &Accounts) -> Result<PrivateKey, ProbeError> {
    let own = |reason: String| ProbeError::Examiner {
        step: KEY,
        reason: format!("{}: {reason}", accounts.ssh_key.display()),
    };
    let text = tokio::fs::read_to_string(&accounts.ssh_key).await;
    let text = text.map_err(|error| own(error.to_string()))?;
    PrivateKey::from_openssh(&text).map_err(|error| own(error.to_string()))
}

async fn greet(stream: Heard, deadline: &Deadline) -> Result<Handle<AnyHost>, ProbeError> {
    let preferred = Preferred {
        kex: Cow::Borrowed(&[kex::CURVE25519]),
        ..Preferred::DEFAULT
    };
    let config = client::Config {
        preferred,
        // Ends the session's own task too if the server hangs.
        inactivity_timeout: Some(deadline.whole()),
        ..client::Config::default()
    };
    let work = client::connect_stream(Arc::new(config), stream, AnyHost);
    run(EXCHANGE, "an SSH server", deadline, work).await
}

async fn log_in(
    session: &mut Handle<AnyHost>,
    user: &str,
    key: PrivateKey,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let expected = "the probe's key to be taken";
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let work = session.authenticate_publickey(user, key);
    if run(LOGIN, expected, deadline, work).await?.success() {
        Ok(())
    } else {
        Err(ProbeError::unexpected(
            LOGIN,
            expected,
            b"permission denied",
        ))
    }
}

async fn run_true(session: &Handle<AnyHost>, deadline: &Deadline) -> Result<(), ProbeError> {
    let expected = "exit status 0";
    run(COMMAND, expected, deadline, async {
        let mut channel = session.channel_open_session().await?;
        channel.exec(true, "true").await?;
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                return Ok(exit_status);
            }
        }
        Err(russh::Error::Disconnect)
    })
    .await
    .and_then(|status| match status {
        0 => Ok(()),
        other => {
            let got = format!("exit status {other}");
            Err(ProbeError::unexpected(COMMAND, expected, got.as_bytes()))
        }
    })
}

/// Runs one step; what it fails with names the step.
async fn run<T>(
    step: &'static str,
    expected: &'static str,
    deadline: &Deadline,
    work: impl Future<Output = Result<T, russh::Error>>,
) -> Result<T, ProbeError> {
    let sorted = async { Ok(work.await) };
    deadline
        .run(step, expected, sorted)
        .await?
        .map_err(|error| sort(step, expected, &error))
}

/// Sorts an error of the library by whose trouble it is.
fn sort(step: &'static str, expected: &'static str, error: &russh::Error) -> ProbeError {
    use russh::Error;
    match error {
        Error::IO(error) => ProbeError::from_io(step, expected, error),
        Error::Disconnect | Error::HUP | Error::SendError | Error::RecvError => {
            ProbeError::Closed { step, expected }
        }
        other => ProbeError::unexpected(step, expected, other.to_string().as_bytes()),
    }
}

/// Takes any host key.
struct AnyHost;

impl Handler for AnyHost {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKey) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::script::{Act, Server, accounts, ample, short};
    use russh::server::{self, Auth, Msg, Session};
    use russh::{Channel, ChannelId};
    use std::path::PathBuf;
    use std::time::Duration;
    use tokio::net::TcpListener;

    /// A server that knows one key; its shell ends as told, or never.
    #[derive(Clone)]
    struct Play {
        known: PublicKey,
        ends: Option<u32>,
    }

    impl server::Handler for Play {
        type Error = russh::Error;

        async fn auth_publickey(
            &mut self,
            user: &str,
            key: &PublicKey,
        ) -> Result<Auth, Self::Error> {
            let known = user == "probe" && key.key_data() == self.known.key_data();
            Ok(if known { Auth::Accept } else { Auth::reject() })
        }

        async fn channel_open_session(
            &mut self,
            _: Channel<Msg>,
            _: &mut Session,
        ) -> Result<bool, Self::Error> {
            Ok(true)
        }

        async fn exec_request(
            &mut self,
            channel: ChannelId,
            command: &[u8],
            session: &mut Session,
        ) -> Result<(), Self::Error> {
            assert_eq!(command, b"true");
            session.channel_success(channel)?;
            if let Some(status) = self.ends {
                session.exit_status_request(channel, status)?;
                session.close(channel)?;
            }
            Ok(())
        }
    }

    fn key(seed: u8) -> PrivateKey {
        russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]).into()
    }

    /// An examination with the key 1 of a server that knows the key `known`.
    async fn examined(known: u8, ends: Option<u32>, within: Duration) -> Result<(), ProbeError> {
        let known = key(known).public_key().clone();
        let config = Arc::new(server::Config {
            keys: vec![key(3)],
            auth_rejection_time: Duration::ZERO,
            ..server::Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let session = server::run_stream(config, stream, Play { known, ends });
            session.await.unwrap().await
        });
        let (_dir, accounts) = accounts_with_key();
        examine(addr, &accounts, &Deadline::new(within)).await
    }

    fn accounts_with_key() -> (tempfile::TempDir, Accounts) {
        let dir = tempfile::tempdir().unwrap();
        let ssh_key = dir.path().join("probe.key");
        key(1)
            .write_openssh_file(&ssh_key, Default::default())
            .unwrap();
        let accounts = Accounts {
            ssh_key,
            ..accounts()
        };
        (dir, accounts)
    }

    async fn scripted(acts: &[Act], within: Duration) -> ProbeError {
        let server = Server::play(acts).await;
        let (_dir, accounts) = accounts_with_key();
        examine(server.addr, &accounts, &Deadline::new(within))
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_healthy_server_lets_the_probe_run_true() {
        assert_eq!(examined(1, Some(0), ample()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_wrong_answer_is_told_with_its_step() {
        let denied = examined(2, Some(0), ample()).await.unwrap_err();
        insta::assert_snapshot!(denied, @"SSH login: expected the probe's key to be taken, got `permission denied`");
        let failed = examined(1, Some(1), ample()).await.unwrap_err();
        insta::assert_snapshot!(failed, @"SSH `true`: expected exit status 0, got `exit status 1`");
        let hangs = examined(1, None, Duration::from_millis(1500))
            .await
            .unwrap_err();
        insta::assert_snapshot!(hangs, @"SSH `true`: no answer within 1500 ms");
        let silent = scripted(&[Act::Hang], short()).await;
        insta::assert_snapshot!(silent, @"SSH key exchange: no answer within 150 ms");
        let gone = scripted(&[Act::Say("SSH-2.0-x\r\n")], ample()).await;
        insta::assert_snapshot!(gone, @"SSH key exchange: the server closed the connection, expected an SSH server");
        let other = scripted(&[Act::Say("220 smtp.example ESMTP\r\n")], ample()).await;
        insta::assert_snapshot!(other, @"SSH key exchange: the server closed the connection, expected an SSH server");
        let flood = scripted(&[Act::Flood(b'x')], ample()).await;
        insta::assert_snapshot!(flood, @"SSH key exchange: the server closed the connection, expected an SSH server");
    }

    #[tokio::test]
    async fn nobody_listens() {
        let (_dir, accounts) = accounts_with_key();
        let nobody = Server::nobody().await;
        let refused = examine(nobody, &accounts, &Deadline::new(ample())).await;
        assert_eq!(refused, Err(ProbeError::Refused { step: CONNECT }));
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_is_our_own_trouble() {
        let accounts = Accounts {
            ssh_key: PathBuf::from("/nonexistent/probe.key"),
            ..accounts()
        };
        let addr = SocketAddr::from(([127, 0, 0, 1], 22));
        let error = examine(addr, &accounts, &Deadline::new(ample())).await;
        let error = error.unwrap_err();
        assert!(error.is_examiners_own());
        insta::assert_snapshot!(error, @"SSH key: this machine could not examine: /nonexistent/probe.key: No such file or directory (os error 2)");
    }
}
