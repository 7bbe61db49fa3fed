//! Messages between agents: TLS 1.3, both sides proving who they are, frames of JSON.
//!
//! Each server keeps one connection to every other and sends on it; it receives on those that the
//! others opened. A peer is who its certificate says (SAN), whatever address it calls from, and
//! only servers of the group get in.
//!
//! Messages here are about *now*: grants, results, "S". A late one is worse than none. So nothing
//! is ever delivered after its time: not from the queue before a connection ([`queue`]), not from
//! a socket that a cut link or a frozen machine held up ([`freshness`]). Who needs an answer asks
//! again.
//!
//! A dead peer is noticed by TCP itself: what is not acknowledged within the time that a message
//! is fresh ends the connection (`TCP_USER_TIMEOUT`), and keepalive asks when nothing is sent.

mod frame;
mod freshness;
mod identity;
mod incoming;
mod outgoing;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::ServerName;

pub use frame::FRAME_LIMIT_BYTES;
pub use identity::{Identity, IdentityError};

use queue::Queue;

/// TCP port of the agents.
pub const PORT: u16 = 7420;
/// Messages that wait for this node; more than that and it stands still anyway.
const INCOMING_LIMIT: usize = 256;

/// Where to listen and whom to reach.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// Own address (IPR) and [`PORT`]. It need not be up yet.
    pub listen: SocketAddr,
    /// The other servers of the cluster, separated ones included.
    pub peers: BTreeMap<ServerName, SocketAddr>,
    /// How long a message is worth delivering.
    pub fresh: Duration,
    /// Messages that may wait for one peer.
    pub queue: usize,
}

impl PeerSettings {
    /// `own` listens; `peers` (own name allowed, and ignored) are reached at [`PORT`].
    pub fn new(own: IpAddr, peers: impl IntoIterator<Item = (ServerName, IpAddr)>) -> Self {
        let at_port = |(name, address)| (name, SocketAddr::new(address, PORT));
        Self {
            listen: SocketAddr::new(own, PORT),
            peers: peers.into_iter().map(at_port).collect(),
            fresh: Duration::from_secs(2),
            queue: 64,
        }
    }
}

/// Why the peers could not be set up.
#[derive(Debug, Error)]
pub enum PeerError {
    /// The own address cannot be listened on.
    #[error("listen on {address}: {cause}; does another agent run on this server?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the network.
        cause: io::Error,
    },
}

/// Whether our connection to a peer is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Connected, and both sides know each other.
    Up {
        /// Since when.
        since: Instant,
    },
    /// Not connected.
    Down {
        /// Since when.
        since: Instant,
        /// Why the last connection ended, or the last attempt failed.
        why: String,
    },
}

impl Link {
    /// True for [`Link::Up`].
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

/// A message to a server that is not among the peers.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is no peer of this server; it is in neither group nor separation file")]
pub struct UnknownPeer(pub ServerName);

/// The connections to all peers; they end when this is dropped.
pub struct Peers<M> {
    peers: BTreeMap<ServerName, Arc<Peer<M>>>,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

struct Peer<M> {
    name: ServerName,
    address: SocketAddr,
    queue: Queue<M>,
    link: Mutex<Link>,
    /// Why there was no connection since the last one; told already.
    told: Mutex<BTreeSet<String>>,
    heard: Mutex<Option<Instant>>,
}

impl<M> Peers<M>
where
    M: Serialize + DeserializeOwned + Send + 'static,
{
    /// Listens and starts to connect to every peer. The receiver gets who sent what.
    ///
    /// # Errors
    /// [`PeerError::Listen`]. That peers cannot be reached is no error.
    pub fn start(
        identity: &Identity,
        settings: PeerSettings,
    ) -> Result<(Self, mpsc::Receiver<(ServerName, M)>), PeerError> {
        let listen = settings.listen;
        let failed = |cause| PeerError::Listen {
            address: listen,
            cause,
        };
        let listener = bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let others = settings
            .peers
            .into_iter()
            .filter(|(name, _)| name != identity.name());
        let peer = |(name, address): (ServerName, SocketAddr)| {
            let link = Link::Down {
                since: Instant::now(),
                why: "not tried yet".to_owned(),
            };
            let peer = Peer {
                name: name.clone(),
                address,
                queue: Queue::new(settings.queue, settings.fresh),
                link: Mutex::new(link),
                told: Mutex::default(),
                heard: Mutex::new(None),
            };
            (name, Arc::new(peer))
        };
        let peers: BTreeMap<_, _> = others.map(peer).collect();
        let (received, messages) = mpsc::channel(INCOMING_LIMIT);
        let mut tasks = JoinSet::new();
        for peer in peers.values() {
            let (client, peer) = (Arc::clone(&identity.client), Arc::clone(peer));
            tasks.spawn(outgoing::run(client, peer, listen.ip(), settings.fresh));
        }
        let server = Arc::clone(&identity.server);
        let known = peers.clone();
        tasks.spawn(incoming::run(
            listener,
            server,
            known,
            received,
            settings.fresh,
        ));
        Ok((
            Self {
                peers,
                address,
                _tasks: tasks,
            },
            messages,
        ))
    }
}

impl<M> Peers<M> {
    /// Queues `message` for `to` and returns at once. It arrives in time or not at all.
    ///
    /// # Errors
    /// [`UnknownPeer`].
    pub fn send(&self, to: &ServerName, message: M) -> Result<(), UnknownPeer> {
        let peer = self.peers.get(to).ok_or_else(|| UnknownPeer(to.clone()))?;
        peer.queue.push(message);
        Ok(())
    }

    /// Names of all peers.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.peers.keys()
    }

    /// Our connection to `name`.
    pub fn link(&self, name: &ServerName) -> Option<Link> {
        let peer = self.peers.get(name)?;
        Some(
            peer.link
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }

    /// When the last message of `name` arrived in time.
    pub fn heard(&self, name: &ServerName) -> Option<Instant> {
        *self
            .peers
            .get(name)?
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on an address that may not be up yet: the agent may start before the network does.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(32)?;
    TcpListener::from_std(socket.into())
}

/// Makes TCP notice a dead peer within about `fresh`.
fn watch_for_death(stream: &tokio::net::TcpStream, fresh: Duration) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    let second = Duration::from_secs(1);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(second)
        .with_interval(second)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(fresh))?;
    stream.set_nodelay(true)
}

#[cfg(test)]
mod tests;
