//! Power of this host and of its neighbours.

use std::net::Ipv4Addr;
use std::time::Duration;

use wake_on_lan::MagicPacket;

use super::lan::{Lan, LanError, broadcast};
use super::services::{ServiceError, systemctl};
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

/// Restarts this machine. Returns when systemd has taken the job; the rest of the shutdown ends
/// this program too.
///
/// # Errors
/// When systemd does not take it in time.
pub async fn reboot(within: Duration) -> Result<(), ServiceError> {
    let arguments = ["reboot".into(), "--no-block".into()];
    let output = systemctl(&arguments, within).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ServiceError::Failed {
        command: arguments.join(" "),
        said,
    })
}
