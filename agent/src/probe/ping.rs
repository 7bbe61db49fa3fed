//! ICMP echo: is the machine's network alive? (paper section 3.1; T_nd is its time-out)

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::ProbeError;
use super::dialogue::Deadline;

const STEP: &str = "ping";
/// Requests sent in one examination, evenly over its time: a single lost packet is no trouble.
const REQUESTS: u32 = 4;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const HEADER: usize = 8;
const PAYLOAD: usize = 16;

/// Which socket the kernel granted; they differ in what is read from them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `CAP_NET_RAW`: answers come with their IP header.
    Raw,
    /// Unprivileged (`net.ipv4.ping_group_range`): no IP header, identifier chosen by the kernel.
    Datagram,
}

/// Sends several echo requests within the time; the first answer wins and its delay since the
/// start is returned.
///
/// # Errors
/// [`ProbeError::NoAnswer`] when none is answered in time; [`ProbeError::Examiner`] when this
/// machine has no privilege or no route.
pub async fn ping(addr: Ipv4Addr, within: Duration) -> Result<Duration, ProbeError> {
    let started = Instant::now();
    let deadline = Deadline::new(within);
    let own = |error: io::Error| ProbeError::Examiner {
        step: STEP,
        reason: error.to_string(),
    };
    let (socket, kind) = open(addr).map_err(own)?;
    let nonce = nonce();
    let mut unsent = None;
    for sequence in 0..REQUESTS {
        match socket.send(&request(nonce, sequence as u16)).await {
            Ok(_) => unsent = None,
            Err(error) => unsent = Some(error),
        }
        // The last request waits for what is left; so does a clock that rounds.
        let until = if sequence + 1 == REQUESTS {
            deadline.at()
        } else {
            (started + within * (sequence + 1) / REQUESTS).min(deadline.at())
        };
        if timeout_at(until, answer(&socket, kind, nonce))
            .await
            .is_ok()
        {
            return Ok(started.elapsed());
        }
    }
    Err(match unsent {
        Some(error) => ProbeError::from_io(STEP, "an echo reply", &error),
        None => ProbeError::NoAnswer {
            step: STEP,
            within: deadline.whole(),
        },
    })
}

fn open(addr: Ipv4Addr) -> io::Result<(UdpSocket, Kind)> {
    let (socket, kind) = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)) {
        Ok(socket) => (socket, Kind::Raw),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => (
            Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4))?,
            Kind::Datagram,
        ),
        Err(error) => return Err(error),
    };
    socket.set_nonblocking(true)?;
    // Connected, so that only this machine's packets are delivered.
    socket.connect(&SocketAddrV4::new(addr, 0).into())?;
    // To the runtime it is a socket that sends and receives datagrams; their kind does not matter.
    Ok((UdpSocket::from_std(socket.into())?, kind))
}

/// Waits for the reply to our own request.
async fn answer(socket: &UdpSocket, kind: Kind, nonce: u64) {
    let mut buffer = [0; 256];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) if answers(&buffer[..length], kind, nonce) => return,
            Ok(_) => {}
            // An ICMP error from a router or our own kernel. It may pass: the deadline decides.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Tells this examination's packets from all others on the machine.
fn nonce() -> u64 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let count = u64::from(COUNT.fetch_add(1, Ordering::Relaxed));
    (u64::from(std::process::id()) << 32) | count
}

fn request(nonce: u64, sequence: u16) -> [u8; HEADER + PAYLOAD] {
    let mut packet = [0; HEADER + PAYLOAD];
    packet[0] = ECHO_REQUEST;
    packet[4..6].copy_from_slice(&(nonce as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER..HEADER + 8].copy_from_slice(b"ringward");
    packet[HEADER + 8..].copy_from_slice(&nonce.to_be_bytes());
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn answers(received: &[u8], kind: Kind, nonce: u64) -> bool {
    let icmp = match kind {
        Kind::Datagram => received,
        Kind::Raw => {
            let header = received.first().map_or(0, |b| usize::from(b & 0x0f) * 4);
            received.get(header..).unwrap_or_default()
        }
    };
    icmp.len() == HEADER + PAYLOAD
        && icmp[0] == ECHO_REPLY
        && icmp[HEADER..HEADER + 8] == *b"ringward"
        && icmp[HEADER + 8..] == nonce.to_be_bytes()
}

/// The Internet checksum (RFC 1071).
fn checksum(data: &[u8]) -> u16 {
    let sum = data
        .chunks(2)
        .map(|pair| (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_its_checksum_sums_to_zero() {
        assert_eq!(checksum(&request(0x1234_5678_9abc_def0, 3)), 0);
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
    }

    #[test]
    fn only_the_reply_to_our_own_request_counts() {
        let mut reply = request(7, 0);
        assert!(!answers(&reply, Kind::Datagram, 7), "a request is no reply");
        reply[0] = ECHO_REPLY;
        assert!(answers(&reply, Kind::Datagram, 7));
        assert!(
            !answers(&reply, Kind::Datagram, 8),
            "another examination's reply"
        );
        let mut with_header = vec![0x45; 20];
        with_header.extend_from_slice(&reply);
        assert!(answers(&with_header, Kind::Raw, 7));
        assert!(!answers(&with_header[..30], Kind::Raw, 7));
        assert!(!answers(&[], Kind::Raw, 7));
    }
}
