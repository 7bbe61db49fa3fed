//! Reading Ethernet frames, as far as a switch and a sleeping network card do.

use ringward::cluster::Mac;
use std::sync::Arc;

/// A frame, shared by all ports that it is flooded to.
pub type Frame = Arc<[u8]>;

/// Shortest frame that has both addresses and a type.
pub const SHORTEST: usize = 14;
/// Longest frame accepted from a machine: 9000 bytes and their headers, with room.
pub const LONGEST: usize = 9216;

const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_WAKE: [u8; 2] = [0x08, 0x42];
const PROTOCOL_UDP: u8 = 17;

/// Whether an address is a group's (broadcast among them): the lowest bit of the first octet.
pub fn is_group(mac: Mac) -> bool {
    mac.0[0] & 1 == 1
}

/// Destination address.
pub fn destination(frame: &[u8]) -> Option<Mac> {
    mac_at(frame, 0)
}

/// Source address.
pub fn source(frame: &[u8]) -> Option<Mac> {
    mac_at(frame, 6)
}

fn mac_at(bytes: &[u8], at: usize) -> Option<Mac> {
    Some(Mac(bytes.get(at..at + 6)?.try_into().ok()?))
}

/// The machine that a wake-on-LAN packet is for: six octets of ones and then sixteen times the
/// address, either as the payload of an 0x0842 frame or anywhere in an IPv4 UDP datagram.
pub fn wakes(frame: &[u8]) -> Option<Mac> {
    let kind: [u8; 2] = frame.get(12..14)?.try_into().ok()?;
    let body = &frame[SHORTEST..];
    let payload = match kind {
        TYPE_WAKE => body,
        TYPE_IPV4 if *body.get(9)? == PROTOCOL_UDP => {
            let header = usize::from(body[0] & 0x0f) * 4;
            body.get(header + 8..)?
        }
        _ => return None,
    };
    (0..payload.len()).find_map(|at| magic(&payload[at..]))
}

fn magic(bytes: &[u8]) -> Option<Mac> {
    if !bytes.starts_with(&[0xff; 6]) {
        return None;
    }
    let mac = mac_at(bytes, 6)?;
    let repeats = bytes.get(6..6 + 16 * 6)?;
    repeats.chunks(6).all(|c| c == mac.0).then_some(mac)
}

/// Takes frames out of QEMU's stream, where each follows its length (32 bits, big endian).
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
}

/// The stream held a length that no frame has.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLength(pub u32);

impl Splitter {
    /// Adds what was read and hands each whole frame to `take`.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Frame)) -> Result<(), BadLength> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(head) = self.pending.get(at..at + 4) {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let size = length as usize;
            if !(SHORTEST..=LONGEST).contains(&size) {
                return Err(BadLength(length));
            }
            let Some(frame) = self.pending.get(at + 4..at + 4 + size) else {
                break;
            };
            take(Frame::from(frame));
            at += 4 + size;
        }
        self.pending.drain(..at);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A broadcast frame of any type.
    pub(crate) fn frame(to: Mac, from: Mac, kind: [u8; 2], body: &[u8]) -> Frame {
        [&to.0[..], &from.0[..], &kind[..], body].concat().into()
    }

    pub(crate) const ALL: Mac = Mac([0xff; 6]);

    pub(crate) fn magic_packet(target: Mac) -> Vec<u8> {
        [vec![0xff; 6], target.0.repeat(16)].concat()
    }

    fn in_udp(payload: &[u8]) -> Vec<u8> {
        let mut ip = vec![0; 20];
        ip[0] = 0x45;
        ip[9] = PROTOCOL_UDP;
        [ip, vec![0, 9, 0, 9, 0, 0, 0, 0], payload.to_vec()].concat()
    }

    #[test]
    fn knows_both_kinds_of_wake_packet() {
        let (me, you) = (Mac([0, 0, 0, 0, 0, 1]), Mac([0, 0, 0, 0, 0, 3]));
        let magic = magic_packet(you);
        assert_eq!(wakes(&frame(ALL, me, TYPE_WAKE, &magic)), Some(you));
        assert_eq!(
            wakes(&frame(you, me, TYPE_IPV4, &in_udp(&magic))),
            Some(you)
        );
        let shifted = [&[1, 2, 0xff][..], &magic].concat();
        assert_eq!(
            wakes(&frame(ALL, me, TYPE_IPV4, &in_udp(&shifted))),
            Some(you)
        );
    }

    #[test]
    fn a_packet_that_is_not_whole_wakes_nobody() {
        let (me, you) = (Mac([0, 0, 0, 0, 0, 1]), Mac([0, 0, 0, 0, 0, 3]));
        let mut magic = magic_packet(you);
        magic.pop();
        assert_eq!(wakes(&frame(ALL, me, TYPE_WAKE, &magic)), None);
        let whole = magic_packet(you);
        assert_eq!(wakes(&frame(ALL, me, [0x08, 0x06], &whole)), None);
        assert_eq!(wakes(&[0; 12]), None);
    }

    #[test]
    fn a_length_out_of_bounds_is_refused() {
        assert_eq!(
            Splitter::default().push(&[0, 0, 0, 3, 1], |_| {}),
            Err(BadLength(3))
        );
        assert_eq!(
            Splitter::default().push(&[9, 0, 0, 0], |_| {}),
            Err(BadLength(9 << 24))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (wakes(&bytes), source(&bytes), destination(&bytes));
        }

        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            sizes in proptest::collection::vec(SHORTEST..200usize, 1..20),
            step in 1..97usize,
        ) {
            let frames: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
            let stream: Vec<u8> = frames
                .iter()
                .flat_map(|f| [&(f.len() as u32).to_be_bytes()[..], f].concat())
                .collect();
            let mut splitter = Splitter::default();
            let mut got = Vec::new();
            for part in stream.chunks(step) {
                splitter.push(part, |f| got.push(f.to_vec())).unwrap();
            }
            prop_assert_eq!(got, frames);
        }
    }
}
