//! Does a service answer at all? Without a login or a request, which would make it open users'
//! data.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use ringward::cluster::Service;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Time for one connection; a guest that boots answers late.
const TRY: Duration = Duration::from_secs(10);

/// Waits until all `services` at `address` answer.
pub(super) async fn wait(services: &[Service], address: Ipv4Addr, within: Duration) -> Result<()> {
    let end = Instant::now() + within;
    for &service in services {
        let at = SocketAddr::from((address, service.port()));
        while let Err(error) = answers(at, speaks_first(service)).await {
            if Instant::now() >= end {
                let within = within.as_secs();
                bail!(
                    "{service} at {at} does not answer within {within} s: {error}; see the VM's console"
                );
            }
            sleep(super::AGAIN).await;
        }
    }
    Ok(())
}

/// Whether the service greets before it is spoken to.
fn speaks_first(service: Service) -> bool {
    match service {
        Service::Smtp | Service::Imap | Service::Ssh | Service::Ftp => true,
        Service::Http | Service::Proxy => false,
    }
}

async fn answers(at: SocketAddr, greets: bool) -> io::Result<()> {
    let attempt = async {
        let mut stream = TcpStream::connect(at).await?;
        if greets && stream.read(&mut [0; 1]).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed without a greeting",
            ));
        }
        Ok(())
    };
    timeout(TRY, attempt)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_greeting_counts_where_one_is_due() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = async {
            drop(listener.accept().await.unwrap());
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 ").await.unwrap();
        };
        let client = async {
            answers(at, true).await.unwrap_err();
            answers(at, true).await.unwrap();
        };
        tokio::join!(server, client);
        answers(at, false).await.unwrap();
        // Not the port just closed: a connection to a free port of one's own range can meet itself.
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        answers(nobody, false).await.unwrap_err();
    }
}
