//! Examinations: one file a protocol.
//!
//! An examination speaks the service's own protocol as a client would, up to the point where a
//! client would be content, and leaves nothing behind. It has a deadline and a limit on everything it
//! reads. What it finds is a delay or a typed [`ProbeError`].
//!
//! Slow is not silent: a manager's examination of a service waits T_sw for each answer, since one that
//! answers step by step is alive, however busy its machine; for all it waits
//! [`PATIENCE`](crate::cluster::PATIENCE) T_sw.
//!
//! The paper examines by `ping` and by Expect scripts (section 3.1); T_nd and T_sw are the
//! deadlines, T_se is the delay of a healthy service.

mod access;
mod dialogue;
mod error;
mod ftp;
mod http;
mod imap;
mod ping;
mod proxy;
#[cfg(test)]
mod script;
mod smtp;
mod ssh;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

pub use access::{Schedule, log_accesses};
pub use error::ProbeError;
pub use ping::ping;

use crate::cluster::{ProbeAccounts, Service};
use dialogue::{Deadline, Dialogue};

/// What an examination needs to be let in.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The accounts of the cluster's settings.
    pub settings: ProbeAccounts,
    /// The private key of SSH, readable by the examiner only.
    pub ssh_key: PathBuf,
}

/// Examines one service of a machine. Returns how long the examination took (T_se).
///
/// # Errors
/// Which step failed, what was expected and what came. See [`ProbeError::is_examiners_own`]
/// before blaming the machine.
pub async fn service(
    service: Service,
    addr: Ipv4Addr,
    accounts: &Accounts,
    within: Duration,
) -> Result<Duration, ProbeError> {
    timed(service, addr, accounts, &Deadline::new(within)).await
}

/// As [`service`], the way managers do: `within` (T_sw) is the time for each answer, and all may take
/// [`PATIENCE`](crate::cluster::PATIENCE) times as long.
///
/// # Errors
/// As [`service`].
pub async fn service_by_answers(
    service: Service,
    addr: Ipv4Addr,
    accounts: &Accounts,
    within: Duration,
) -> Result<Duration, ProbeError> {
    timed(service, addr, accounts, &Deadline::patient(within)).await
}

async fn timed(
    service: Service,
    addr: Ipv4Addr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<Duration, ProbeError> {
    let started = Instant::now();
    let addr = SocketAddr::from((addr, service.port()));
    examine(service, addr, accounts, deadline).await?;
    Ok(started.elapsed())
}

/// The service's first words only; of a service that waits for the client's, a whole examination.
async fn greet(
    service: Service,
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    let (connect, banner, expected, farewell) = match service {
        Service::Smtp => ("SMTP connect", "SMTP banner", "220", "QUIT\r\n"),
        Service::Imap => ("IMAP connect", "IMAP greeting", "* OK", "0 LOGOUT\r\n"),
        Service::Ssh => ("SSH connect", "SSH banner", "SSH-2.0-", ""),
        Service::Ftp => ("FTP connect", "FTP banner", "220", "QUIT\r\n"),
        Service::Http | Service::Proxy => return examine(service, addr, accounts, deadline).await,
    };
    let mut talk = Dialogue::connect(connect, addr, deadline).await?;
    let line = talk.line(banner, expected).await?;
    if !line.starts_with(expected.as_bytes()) {
        return Err(ProbeError::unexpected(banner, expected, &line));
    }
    talk.farewell(farewell).await;
    Ok(())
}

async fn examine(
    service: Service,
    addr: SocketAddr,
    accounts: &Accounts,
    deadline: &Deadline,
) -> Result<(), ProbeError> {
    match service {
        Service::Smtp => smtp::examine(addr, accounts, deadline).await,
        Service::Imap => imap::examine(addr, accounts, deadline).await,
        Service::Ssh => ssh::examine(addr, accounts, deadline).await,
        Service::Ftp => ftp::examine(addr, accounts, deadline).await,
        Service::Http => http::examine(addr, deadline).await,
        Service::Proxy => proxy::examine(addr, accounts, deadline).await,
    }
}

#[cfg(test)]
mod tests {
    use super::script::{Act, Server, accounts, short};
    use super::*;

    async fn greeted(service: Service, acts: &[Act]) -> Result<(), ProbeError> {
        let server = Server::play(acts).await;
        let deadline = Deadline::new(server.ample);
        let greeted = greet(service, server.addr, &accounts(), &deadline).await;
        server.heard_all().await;
        greeted
    }

    #[tokio::test]
    async fn a_greeting_is_enough_where_the_service_speaks_first() {
        let spoken = [
            (Service::Smtp, "220 mail ESMTP\r\n", "QUIT"),
            (Service::Imap, "* OK ready\r\n", "0 LOGOUT"),
            (Service::Ssh, "SSH-2.0-x\r\n", ""),
            (Service::Ftp, "220 welcome\r\n", "QUIT"),
        ];
        for (service, banner, farewell) in spoken {
            let acts = [Act::Say(banner), Act::Hear(farewell)];
            let acts = if farewell.is_empty() {
                &acts[..1]
            } else {
                &acts
            };
            greeted(service, acts).await.unwrap();
        }
        let acts = [Act::Hear("GET"), Act::Say("HTTP/1.0 200 OK\r\n\r\nx")];
        greeted(Service::Http, &acts).await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_greeting_and_none_are_trouble() {
        let error = greeted(Service::Ftp, &[Act::Say("421 full\r\n")]).await;
        insta::assert_snapshot!(error.unwrap_err(), @"FTP banner: expected 220, got `421 full`");
        let server = Server::play(&[Act::Hang]).await;
        let deadline = Deadline::new(short());
        let error = greet(Service::Ssh, server.addr, &accounts(), &deadline).await;
        insta::assert_snapshot!(error.unwrap_err(), @"SSH banner: no answer within 150 ms");
    }
}
