//! The connection to one peer: made, kept, made again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::frame::{self, Frame};
use super::identity::tls_name;
use super::{Link, Peer, watch_for_death};

/// Time for a TCP connection on the LAN.
const CONNECT: Duration = Duration::from_secs(1);
/// Time for a handshake; a busy, emulated server needs most of a second.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// Pause after the first failure; doubled after each more, up to [`BACK_OFF_LIMIT`].
const BACK_OFF: Duration = Duration::from_millis(100);
/// A peer that returns is found within this.
const BACK_OFF_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn run<M: Serialize>(
    client: Arc<ClientConfig>,
    peer: Arc<Peer<M>>,
    own: IpAddr,
    fresh: Duration,
) {
    let connector = TlsConnector::from(client);
    let mut pause = BACK_OFF;
    loop {
        let ended = match connect(&connector, &peer, own, fresh).await {
            Ok(stream) => {
                pause = BACK_OFF;
                peer.set_link(Link::Up {
                    since: Instant::now(),
                });
                carry(&peer, stream, fresh).await
            }
            Err(error) => error,
        };
        peer.set_link(Link::Down {
            since: Instant::now(),
            why: ended.to_string(),
        });
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF_LIMIT);
    }
}

async fn connect<M>(
    connector: &TlsConnector,
    peer: &Peer<M>,
    own: IpAddr,
    fresh: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let late = |what| io::Error::new(io::ErrorKind::TimedOut, what);
    let socket = if own.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Not from a virtual IP that happens to be on the same device: it may go away.
    socket.bind(SocketAddr::new(own, 0))?;
    let stream = timeout(CONNECT, socket.connect(peer.address))
        .await
        .map_err(|_| late("no answer to the connection"))??;
    watch_for_death(&stream, fresh)?;
    let name = tls_name(&peer.name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no host name"))?;
    timeout(HANDSHAKE, connector.connect(name, stream))
        .await
        .map_err(|_| late("no answer to the handshake"))?
}

/// Sends what is queued until the connection ends; returns why it ended.
async fn carry<M: Serialize>(
    peer: &Peer<M>,
    stream: TlsStream<TcpStream>,
    fresh: Duration,
) -> io::Error {
    let begun = Instant::now();
    let (mut incoming, mut outgoing) = tokio::io::split(stream);
    let hello = frame::encode::<M>(&Frame {
        at_ms: 0,
        message: None,
    })
    .unwrap_or_default();
    if let Err(error) = frame::write(&mut outgoing, &hello).await {
        return error;
    }
    // Nothing is sent to us here; reading only tells when the connection ends.
    let mut nothing = [0; 1];
    loop {
        let message = tokio::select! {
            read = incoming.read(&mut nothing) => {
                return read.err().unwrap_or_else(|| io::Error::other("closed by the peer"));
            }
            message = peer.queue.next() => message,
        };
        let at_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let bytes = match frame::encode(&Frame {
            at_ms,
            message: Some(message),
        }) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!("a message to {} is not sent: {error}", peer.name);
                continue;
            }
        };
        match timeout(fresh, frame::write(&mut outgoing, &bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return io::Error::new(io::ErrorKind::TimedOut, "it takes no more messages"),
        }
    }
}

impl<M> Peer<M> {
    fn set_link(&self, link: Link) {
        let mut current = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*current, &link) {
            (_, Link::Up { .. }) => {
                tracing::info!("connected to {} at {}", self.name, self.address);
                told.clear();
            }
            (Link::Up { .. }, Link::Down { why, .. }) => {
                tracing::warn!(
                    "connection to {} at {} lost: {why}",
                    self.name,
                    self.address
                );
            }
            // A peer that is off gives the same few reasons in turn; each is told once.
            (Link::Down { .. }, Link::Down { why, .. }) if !told.contains(why) => {
                tracing::warn!("no connection to {} at {}: {why}", self.name, self.address);
                told.insert(why.clone());
            }
            _ => {}
        }
        *current = match (&*current, link) {
            // Down since the first failure, not since the last attempt.
            (Link::Down { since, .. }, Link::Down { why, .. }) => Link::Down { since: *since, why },
            (_, link) => link,
        };
    }
}
