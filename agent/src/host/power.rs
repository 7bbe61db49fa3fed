//! Power of this host's neighbours.

use std::net::Ipv4Addr;

use wake_on_lan::MagicPacket;

use super::lan::{Lan, LanError, broadcast};
use crate::cluster::Mac;

/// The discard port, where magic packets go by custom.
const PORT: u16 = 9;

/// Wakes the machine with this hardware address (paper, section 3.1, background job 1): a magic
/// packet to the LAN's broadcast address, out of the LAN device.
///
/// # Errors
/// When this host has no address on the LAN or cannot send. Whether the machine heard it, only
/// its network can tell.
pub async fn wake(lan: &Lan, mac: Mac) -> Result<(), LanError> {
    let (own, prefix) = lan.address().await?;
    let to = (broadcast(own, prefix), PORT);
    let from: (Ipv4Addr, u16) = (own, 0);
    // The crate's call does not block: a datagram is queued or refused.
    MagicPacket::new(&mac.0)
        .send_to(to, from)
        .map_err(lan.socket("send wake-on-LAN"))
}
