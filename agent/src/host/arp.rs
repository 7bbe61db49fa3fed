//! ARP packets over IPv4 on Ethernet (RFC 826, RFC 5227), by a packet socket.

use std::io;
use std::net::Ipv4Addr;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use tokio::net::UdpSocket;

use crate::cluster::Mac;

const ETHERTYPE: u16 = 0x0806;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const EVERYONE: Mac = Mac([0xff; 6]);
const NOBODY: Mac = Mac([0; 6]);
/// Ethernet header and ARP body.
const LENGTH: usize = 14 + 28;

/// One ARP packet; it is sent to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    operation: u16,
    /// Source of the frame. For a VM's address it is the VM's, so that switches learn its way.
    from: Mac,
    sender: (Mac, Ipv4Addr),
    target: (Mac, Ipv4Addr),
}

impl Packet {
    /// Asks who has the address without claiming it (RFC 5227, section 2.1.1).
    pub(super) fn probe(address: Ipv4Addr, from: Mac) -> Self {
        let sender = (from, Ipv4Addr::UNSPECIFIED);
        Self {
            operation: REQUEST,
            from,
            sender,
            target: (NOBODY, address),
        }
    }

    /// An announcement (RFC 5227, section 2.3).
    pub(super) fn gratuitous_request(address: Ipv4Addr, owner: Mac) -> Self {
        let sender = (owner, address);
        Self {
            operation: REQUEST,
            from: owner,
            sender,
            target: (NOBODY, address),
        }
    }

    /// An answer that nobody asked for.
    pub(super) fn gratuitous_reply(address: Ipv4Addr, owner: Mac) -> Self {
        let sender = (owner, address);
        Self {
            operation: REPLY,
            from: owner,
            sender,
            target: (EVERYONE, address),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..6].copy_from_slice(&EVERYONE.0);
        bytes[6..12].copy_from_slice(&self.from.0);
        bytes[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        // Ethernet, IPv4, lengths of their addresses.
        bytes[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        bytes[20..22].copy_from_slice(&self.operation.to_be_bytes());
        bytes[22..28].copy_from_slice(&self.sender.0.0);
        bytes[28..32].copy_from_slice(&self.sender.1.octets());
        bytes[32..38].copy_from_slice(&self.target.0.0);
        bytes[38..42].copy_from_slice(&self.target.1.octets());
        bytes
    }
}

/// Who says in this frame that it owns the address; none for other frames and for probes.
fn sender_of(frame: &[u8], address: Ipv4Addr) -> Option<Mac> {
    let body = frame.get(12..LENGTH)?;
    let is_arp = body[..2] == ETHERTYPE.to_be_bytes() && body[2..8] == [0, 1, 8, 0, 6, 4];
    let mac = Mac(body[10..16].try_into().ok()?);
    (is_arp && body[16..20] == address.octets()).then_some(mac)
}

/// A socket that sends and receives whole ARP frames on the device with this index.
pub(super) fn open(index: u32) -> io::Result<UdpSocket> {
    let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address_of(index)?)?;
    // To the runtime it is a socket that sends and receives datagrams; their kind does not matter.
    UdpSocket::from_std(socket.into())
}

#[expect(
    unsafe_code,
    reason = "no safe way to build a link-layer socket address"
)]
fn address_of(index: u32) -> io::Result<SockAddr> {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is a socket address type that fits in the storage, plain data for
    // which any bits are valid, and the storage is zeroed and suitably aligned.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = ETHERTYPE.to_be();
    link.sll_ifindex = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let length = std::mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the family says what the first `length` bytes are, and they have been written.
    Ok(unsafe { SockAddr::new(storage, length) })
}

/// Waits for a frame in which someone else than us claims the address.
pub(super) async fn claimant(
    socket: &UdpSocket,
    address: Ipv4Addr,
    ours: impl Fn(Mac) -> bool,
) -> io::Result<Mac> {
    let mut frame = [0; 128];
    loop {
        let length = socket.recv(&mut frame).await?;
        match sender_of(&frame[..length], address) {
            Some(mac) if !ours(mac) => return Ok(mac),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(172, 21, 14, 203);
    const OWNER: Mac = Mac([0, 0, 0, 0, 1, 3]);

    fn hex(packet: Packet) -> String {
        packet
            .to_bytes()
            .chunks(7)
            .map(|row| format!("{row:02x?}\n"))
            .collect()
    }

    #[test]
    fn bytes_on_the_wire() {
        insta::assert_snapshot!(hex(Packet::gratuitous_request(VIP, OWNER)), @r"
        [ff, ff, ff, ff, ff, ff, 00]
        [00, 00, 00, 01, 03, 08, 06]
        [00, 01, 08, 00, 06, 04, 00]
        [01, 00, 00, 00, 00, 01, 03]
        [ac, 15, 0e, cb, 00, 00, 00]
        [00, 00, 00, ac, 15, 0e, cb]
        ");
        insta::assert_snapshot!(hex(Packet::probe(VIP, OWNER)), @r"
        [ff, ff, ff, ff, ff, ff, 00]
        [00, 00, 00, 01, 03, 08, 06]
        [00, 01, 08, 00, 06, 04, 00]
        [01, 00, 00, 00, 00, 01, 03]
        [00, 00, 00, 00, 00, 00, 00]
        [00, 00, 00, ac, 15, 0e, cb]
        ");
    }

    #[test]
    fn claims_are_told_from_questions() {
        let reply = Packet::gratuitous_reply(VIP, OWNER).to_bytes();
        assert_eq!(sender_of(&reply, VIP), Some(OWNER));
        assert_eq!(sender_of(&reply, Ipv4Addr::LOCALHOST), None);
        assert_eq!(sender_of(&Packet::probe(VIP, OWNER).to_bytes(), VIP), None);
        assert_eq!(sender_of(&reply[..41], VIP), None);
        let mut other = reply;
        other[12] = 0x86;
        assert_eq!(sender_of(&other, VIP), None);
    }
}
