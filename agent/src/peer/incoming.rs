//! Connections that peers opened to us.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::cluster::ServerName;

use super::freshness::Delay;
use super::identity::names;
use super::{Peer, frame, watch_for_death};

/// Time for a caller to prove who it is.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Callers that have not yet proved who they are; more wait in the listen queue.
const STRANGERS: usize = 16;

type Known<M> = BTreeMap<ServerName, Arc<Peer<M>>>;

pub(super) async fn run<M>(
    listener: TcpListener,
    server: Arc<ServerConfig>,
    known: Known<M>,
    received: mpsc::Sender<(ServerName, M)>,
    fresh: Duration,
) where
    M: DeserializeOwned + Send + 'static,
{
    let acceptor = TlsAcceptor::from(server);
    let known = Arc::new(known);
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let (greeted, mut arrivals) = mpsc::channel(STRANGERS);
    let mut greeters = JoinSet::new();
    let mut carriers = JoinSet::new();
    let mut current: HashMap<ServerName, AbortHandle> = HashMap::new();
    loop {
        while greeters.try_join_next().is_some() || carriers.try_join_next().is_some() {}
        tokio::select! {
            accepted = accept(&listener, &strangers) => {
                let Some((stream, address, permit)) = accepted else {
                    // Out of files, most likely; do not spin.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let (acceptor, known, greeted) = (acceptor.clone(), Arc::clone(&known), greeted.clone());
                greeters.spawn(async move {
                    let _permit = permit;
                    match greet(&acceptor, stream, &known, fresh).await {
                        Ok(arrival) => {
                            let _ = greeted.send(arrival).await;
                        }
                        Err(error) => tracing::warn!("connection from {address} refused: {error}"),
                    }
                });
            }
            Some((name, stream)) = arrivals.recv() => {
                let Some(peer) = known.get(&name).map(Arc::clone) else { continue };
                let task = carriers.spawn(carry(peer, stream, received.clone(), fresh));
                // A peer that connects again has given up its former connection.
                if let Some(former) = current.insert(name, task) {
                    former.abort();
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    strangers: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(strangers).acquire_owned().await.ok()?;
    let (stream, address) = listener.accept().await.ok()?;
    Some((stream, address, permit))
}

/// Finds out who calls. Only a server of the group gets through.
async fn greet<M>(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    known: &Known<M>,
    fresh: Duration,
) -> io::Result<(ServerName, TlsStream<TcpStream>)> {
    watch_for_death(&stream, fresh)?;
    let stream = timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not prove who it is"))??;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let names = certificates.first().map(names).unwrap_or_default();
    let mut peers = names
        .iter()
        .filter_map(|name| name.parse::<ServerName>().ok());
    match peers.find(|name| known.contains_key(name)) {
        Some(name) => Ok((name, stream)),
        None => {
            let text = format!("{} is no server of this cluster", names.join(", "));
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        }
    }
}

async fn carry<M: DeserializeOwned>(
    peer: Arc<Peer<M>>,
    mut stream: TlsStream<TcpStream>,
    received: mpsc::Sender<(ServerName, M)>,
    fresh: Duration,
) {
    let begun = Instant::now();
    let mut delay = Delay::default();
    let mut buffer = Vec::new();
    loop {
        match frame::read(&mut stream, &mut buffer).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!("connection from {} ended: {error}", peer.name);
                return;
            }
        }
        let frame = match frame::parse::<M>(&buffer) {
            Ok(frame) => frame,
            Err(error) => {
                // A newer release may say things that this one does not know.
                tracing::warn!("a message of {} is not understood: {error}", peer.name);
                continue;
            }
        };
        let late = delay.of(Duration::from_millis(frame.at_ms), begun.elapsed());
        if late > fresh {
            tracing::debug!(
                "a message of {} is {} ms late: dropped",
                peer.name,
                late.as_millis()
            );
            continue;
        }
        *peer.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let Some(message) = frame.message else {
            continue;
        };
        match received.try_send((peer.name.clone(), message)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(
                    "a message of {} is dropped: this node does not keep up",
                    peer.name
                );
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}
