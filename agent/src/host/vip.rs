//! The virtual address on this host.
//!
//! It is added with a lifetime that the kernel keeps, so that it goes away even if this program
//! hangs or dies: at most one owner, always. It stands alone (prefix 32): the network's route and
//! the source address of our own packets stay with the real address.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netlink_packet_route::address::{AddressAttribute, AddressMessage, CacheInfo};
use netlink_packet_route::neighbour::NeighbourState;
use tokio::time::{Instant, sleep, timeout_at};

use super::arp::{self, Packet};
use super::lan::{Lan, LanError, local};
use crate::cluster::Mac;

const PREFIX: u8 = 32;
/// ARP probes of a search for a duplicate, and how long it takes in all.
const PROBES: u32 = 2;
const PROBING: Duration = Duration::from_millis(100);

impl Lan {
    /// Adds a virtual address for this long, or gives one that is there this long from now.
    /// The kernel counts whole seconds; a part of one is rounded up.
    ///
    /// # Errors
    /// When the device is not there or the kernel refuses.
    pub async fn add_vip(&self, vip: Ipv4Addr, valid: Duration) -> Result<(), LanError> {
        let index = self.index()?;
        let mut request = self
            .netlink
            .address()
            .add(index, IpAddr::V4(vip), PREFIX)
            .replace();
        request
            .message_mut()
            .attributes
            .push(AddressAttribute::CacheInfo(lifetime(valid)));
        request
            .execute()
            .await
            .map_err(self.refused("add a virtual address"))
    }

    /// Prolongs a virtual address that is there.
    ///
    /// # Errors
    /// [`LanError::Lapsed`] when it is gone: then look for a duplicate before adding it again.
    pub async fn renew_vip(&self, vip: Ipv4Addr, valid: Duration) -> Result<(), LanError> {
        if self.has_vip(vip).await? {
            self.add_vip(vip, valid).await
        } else {
            Err(LanError::Lapsed {
                vip,
                device: self.name.clone(),
            })
        }
    }

    /// Removes a virtual address. It is no error if it is gone already.
    ///
    /// # Errors
    /// When the device is not there or the kernel refuses.
    pub async fn remove_vip(&self, vip: Ipv4Addr) -> Result<(), LanError> {
        let Some(message) = self.find(vip).await? else {
            return Ok(());
        };
        let removed = self.netlink.address().del(message).execute().await;
        match removed.map_err(self.refused("remove a virtual address")) {
            // Its lifetime may have run out in between.
            Err(_) if !self.has_vip(vip).await? => Ok(()),
            other => other,
        }
    }

    /// Whether this host holds the virtual address now.
    ///
    /// # Errors
    /// When the device is not there or the kernel refuses.
    pub async fn has_vip(&self, vip: Ipv4Addr) -> Result<bool, LanError> {
        Ok(self.find(vip).await?.is_some())
    }

    /// Tells the LAN (gratuitous ARP) that the address is at this host, or at `owner`, a VM behind
    /// this host's bridge. Packets get lost and caches have a locktime of 1 s: do it at once, after
    /// 1 s and after 5 s.
    ///
    /// # Errors
    /// When nothing can be sent, or the kernel refuses to be told.
    pub async fn announce(&self, vip: Ipv4Addr, owner: Option<Mac>) -> Result<(), LanError> {
        const DOING: &str = "announce an address by ARP";
        let device = self.device().await?;
        let socket = arp::open(device.index).map_err(self.socket(DOING))?;
        let owner = owner.unwrap_or(device.mac);
        // Some stacks heed the request, some the reply.
        for packet in [
            Packet::gratuitous_request(vip, owner),
            Packet::gratuitous_reply(vip, owner),
        ] {
            socket
                .send(&packet.to_bytes())
                .await
                .map_err(self.socket(DOING))?;
        }
        if owner != device.mac {
            self.tell_kernel(device.index, vip, owner).await?;
        }
        Ok(())
    }

    /// Tells this host's own kernel, which does not hear what it sends, where an address is: else it would
    /// go on sending to the former owner for some ten seconds. It is to look itself when it needs the address.
    async fn tell_kernel(&self, index: u32, vip: Ipv4Addr, owner: Mac) -> Result<(), LanError> {
        let neighbour = self.netlink.neighbours().add(index, IpAddr::V4(vip));
        let told = neighbour
            .link_local_address(&owner.0)
            .state(NeighbourState::Stale)
            .replace()
            .execute()
            .await;
        told.map_err(self.refused("tell where a virtual address is"))
    }

    /// Looks for another owner of the address (two ARP probes, 100 ms in all). `own` are hardware
    /// addresses besides this host's that may answer: VMs behind its bridge.
    ///
    /// # Errors
    /// When nothing can be sent or received; then nothing is known.
    pub async fn duplicate(&self, vip: Ipv4Addr, own: &[Mac]) -> Result<Option<Mac>, LanError> {
        const DOING: &str = "look for another owner of an address by ARP";
        let device = self.device().await?;
        let socket = arp::open(device.index).map_err(self.socket(DOING))?;
        let ours = |mac| mac == device.mac || own.contains(&mac);
        let probe = Packet::probe(vip, device.mac).to_bytes();
        let started = Instant::now();
        for sent in 1..=PROBES {
            socket.send(&probe).await.map_err(self.socket(DOING))?;
            let until = started + PROBING * sent / PROBES;
            match timeout_at(until, arp::claimant(&socket, vip, ours)).await {
                Ok(Ok(mac)) => return Ok(Some(mac)),
                Ok(Err(error)) => return Err(self.socket(DOING)(error)),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Waits until another machine speaks as the owner of the address (for example one that thaws
    /// and answers old requests). Whoever holds the address by right announces again at once.
    ///
    /// # Errors
    /// When the LAN cannot be listened to.
    pub async fn conflict(&self, vip: Ipv4Addr, own: &[Mac]) -> Result<Mac, LanError> {
        const DOING: &str = "listen for another owner of an address";
        let device = self.device().await?;
        let socket = arp::open(device.index).map_err(self.socket(DOING))?;
        let ours = |mac| mac == device.mac || own.contains(&mac);
        arp::claimant(&socket, vip, ours)
            .await
            .map_err(self.socket(DOING))
    }

    /// Announces at once, after 1 s and after 5 s. Runs as long as that; what cannot be sent is
    /// logged, since the next one may get through.
    pub async fn announce_thrice(&self, vip: Ipv4Addr, owner: Option<Mac>) {
        for pause in [0, 1, 4] {
            sleep(Duration::from_secs(pause)).await;
            if let Err(error) = self.announce(vip, owner).await {
                tracing::warn!(%vip, error = &error as &dyn std::error::Error, "not announced");
            }
        }
    }

    async fn find(&self, vip: Ipv4Addr) -> Result<Option<AddressMessage>, LanError> {
        let mut found = self.addresses(self.index()?).await?.into_iter();
        Ok(found.find(|message| local(message) == Some(vip)))
    }
}

/// What the kernel is told: seconds, at least one.
fn lifetime(valid: Duration) -> CacheInfo {
    let up = u64::from(valid.subsec_nanos() > 0);
    let seconds = u32::try_from(valid.as_secs() + up)
        .unwrap_or(u32::MAX)
        .max(1);
    let mut info = CacheInfo::default();
    info.ifa_preferred = seconds;
    info.ifa_valid = seconds;
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_whole_seconds_and_never_nothing() {
        for (valid_ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (14_000, 14)] {
            let info = lifetime(Duration::from_millis(valid_ms));
            assert_eq!(
                (info.ifa_valid, info.ifa_preferred),
                (seconds, seconds),
                "{valid_ms} ms"
            );
        }
        assert_eq!(lifetime(Duration::MAX.mul_f32(0.5)).ifa_valid, u32::MAX);
    }
}
