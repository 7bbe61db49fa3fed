//! Who answered for each virtual IP address, and when, read off the LAN capture.
//!
//! A machine claims a VIP when it sends an ARP packet or an IPv4 packet with the VIP as sender.
//! ARP probes carry no sender address and claim nothing. Claims of one MAC that follow each other
//! within [`REST`] are one stay; two stays of different MACs at the same VIP must never overlap.

use super::pcap::{Capture, PcapError};
use ringward::cluster::Mac;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Claims further apart than this belong to separate stays. Longer than a thawed machine goes on
/// answering, shorter than any way from an owner to another and back, which takes an activation
/// and a boot.
pub const REST: Duration = Duration::from_secs(3);

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;

/// A time during which one MAC claimed a VIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stay {
    /// Who.
    pub mac: Mac,
    /// First claim, since 1970 by the lab's clock.
    pub from: Duration,
    /// Last claim.
    pub until: Duration,
    /// How many claims.
    pub claims: u64,
}

/// The stays at every VIP, each list in the order of their beginnings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Owners {
    /// By VIP.
    pub stays: BTreeMap<Ipv4Addr, Vec<Stay>>,
}

impl Owners {
    /// Reads a whole capture, keeping claims of `vips` from the moment `from` on.
    ///
    /// # Errors
    /// When the capture cannot be read to its end.
    pub fn read(capture: impl Read, vips: &[Ipv4Addr], from: Duration) -> Result<Self, PcapError> {
        let mut owners = Self::default();
        let mut capture = Capture::new(capture)?;
        while let Some(frame) = capture.next_frame()? {
            if let Some((vip, mac)) = claim(&frame.bytes) {
                if frame.at >= from && vips.contains(&vip) {
                    owners.add(frame.at, vip, mac);
                }
            }
        }
        Ok(owners)
    }

    /// Adds one claim; they come in the order of time.
    fn add(&mut self, at: Duration, vip: Ipv4Addr, mac: Mac) {
        let stays = self.stays.entry(vip).or_default();
        match stays.iter_mut().rev().find(|stay| stay.mac == mac) {
            Some(stay) if at.saturating_sub(stay.until) <= REST => {
                stay.until = stay.until.max(at);
                stay.claims += 1;
            }
            _ => stays.push(Stay {
                mac,
                from: at,
                until: at,
                claims: 1,
            }),
        }
    }

    /// The owners of `vip` one after the other, stays of the same MAC drawn together.
    #[must_use]
    pub fn succession(&self, vip: Ipv4Addr) -> Vec<Mac> {
        let mut macs: Vec<Mac> = self
            .stays
            .get(&vip)
            .into_iter()
            .flatten()
            .map(|stay| stay.mac)
            .collect();
        macs.dedup();
        macs
    }

    /// Pairs of stays at one VIP by different MACs that overlap: two owners at a time.
    #[must_use]
    pub fn overlaps(&self) -> Vec<(Ipv4Addr, Stay, Stay)> {
        let mut found = Vec::new();
        for (vip, stays) in &self.stays {
            for (i, first) in stays.iter().enumerate() {
                let clash = |second: &&Stay| second.mac != first.mac && second.from <= first.until;
                let later = stays[i + 1..].iter().filter(clash);
                found.extend(later.map(|second| (*vip, first.clone(), second.clone())));
            }
        }
        found
    }
}

/// The VIP a frame claims, and for which MAC.
fn claim(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let address = |at: usize| -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    };
    let mac = |at: usize| -> Option<Mac> { Some(Mac(frame.get(at..at + 6)?.try_into().ok()?)) };
    match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        // Sender hardware address at 22, sender protocol address at 28.
        ETHERTYPE_ARP => Some((address(28)?, mac(22)?)),
        ETHERTYPE_IPV4 => Some((address(26)?, mac(6)?)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::pcap::tests::capture;

    pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(172, 21, 14, 203);
    pub(crate) const HOME: Mac = Mac([0, 0, 0, 0, 0, 3]);
    pub(crate) const BACKUP: Mac = Mac([0, 0, 0, 0, 1, 3]);

    /// A gratuitous ARP packet.
    fn arp(mac: Mac, sender: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(mac.0);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(mac.0);
        frame.extend(sender.octets());
        frame.extend([0; 6]);
        frame.extend(VIP.octets());
        frame
    }

    fn ipv4(mac: Mac, sender: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0; 6];
        frame.extend(mac.0);
        frame.extend([8, 0, 0x45, 0]);
        frame.extend([0; 10]);
        frame.extend(sender.octets());
        frame.extend([172, 21, 14, 21]);
        frame
    }

    /// Claims of [`VIP`] at these milliseconds, as a capture.
    pub(crate) fn claims(at: &[(u64, Mac)]) -> Vec<u8> {
        let frames: Vec<_> = at
            .iter()
            .map(|(ms, mac)| (Duration::from_millis(*ms), arp(*mac, VIP)))
            .collect();
        capture(&frames)
    }

    fn owners(at: &[(u64, Mac)]) -> Owners {
        Owners::read(&claims(at)[..], &[VIP], Duration::ZERO).unwrap()
    }

    #[test]
    fn away_and_home_again_is_a_clean_succession() {
        let owners = owners(&[
            (0, HOME),
            (900, HOME),
            (5000, BACKUP),
            (6000, BACKUP),
            (9900, HOME),
        ]);
        assert_eq!(owners.succession(VIP), [HOME, BACKUP, HOME]);
        assert!(owners.overlaps().is_empty());
    }

    #[test]
    fn an_owner_that_speaks_up_again_at_once_is_an_overlap() {
        let owners = owners(&[(0, HOME), (1000, BACKUP), (1100, HOME)]);
        let overlaps = owners.overlaps();
        assert_eq!(overlaps.len(), 1);
        assert_eq!((overlaps[0].1.mac, overlaps[0].2.mac), (HOME, BACKUP));
    }

    #[test]
    fn arp_and_ip_packets_claim_but_probes_and_other_addresses_do_not() {
        let other = Ipv4Addr::new(172, 21, 14, 3);
        let frames = [
            (Duration::from_secs(1), arp(BACKUP, Ipv4Addr::UNSPECIFIED)),
            (Duration::from_secs(2), ipv4(HOME, other)),
            (Duration::from_secs(3), ipv4(HOME, VIP)),
            (Duration::from_secs(4), vec![0; 10]),
        ];
        let owners = Owners::read(&capture(&frames)[..], &[VIP], Duration::from_secs(2)).unwrap();
        let at = Duration::from_secs(3);
        let stay = Stay {
            mac: HOME,
            from: at,
            until: at,
            claims: 1,
        };
        assert_eq!(owners.stays[&VIP], [stay]);
    }
}
