//! The server's one network device on the cluster's LAN (a bridge, so that backup VMs share it).

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures_util::{TryStreamExt, pin_mut};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::Handle;
use tokio::sync::Mutex;

use crate::cluster::Mac;

/// What could not be done on the LAN device.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// The kernel refused a request.
    #[error("{doing} on {device}: the kernel refused")]
    Netlink {
        /// What was being done.
        doing: &'static str,
        /// On which device.
        device: Arc<str>,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// There is no such Ethernet device.
    #[error("{device}: no such network device; see the site medium's lan.network")]
    NoDevice {
        /// The device of the settings.
        device: Arc<str>,
    },
    /// The device has no address of its own.
    #[error("{device} has no IPv4 address; see `networkctl status {device}`")]
    NoAddress {
        /// The device of the settings.
        device: Arc<str>,
    },
    /// A virtual address was to be renewed whose lifetime is over. It must be acquired anew.
    #[error("{vip} is no longer on {device}: its lifetime ran out before it was renewed")]
    Lapsed {
        /// The virtual address.
        vip: Ipv4Addr,
        /// The device it was on.
        device: Arc<str>,
    },
    /// A socket could not be used.
    #[error("{doing} on {device}")]
    Socket {
        /// What was being done.
        doing: &'static str,
        /// On which device.
        device: Arc<str>,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A device that exists now. Its index may be another one after a restart of the network daemon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) mac: Mac,
    /// Up, with something at the other end. A bridge has a carrier while one of its ports has.
    pub(super) has_carrier: bool,
}

/// The LAN device; cheap to copy. All its methods need `CAP_NET_ADMIN` or `CAP_NET_RAW`.
#[derive(Clone)]
pub struct Lan {
    pub(super) netlink: Handle,
    pub(super) name: Arc<str>,
    /// The kernel makes one list at a time on a socket, and refuses a second one as busy.
    listing: Arc<Mutex<()>>,
}

impl Lan {
    /// Opens a channel to the kernel; to be called within the runtime, which serves it. The device
    /// need not exist yet.
    ///
    /// # Errors
    /// When no netlink socket can be had.
    pub fn open(device: &str) -> Result<Self, LanError> {
        let name: Arc<str> = device.into();
        let (connection, netlink, _) =
            rtnetlink::new_connection().map_err(|source| LanError::Socket {
                doing: "open a netlink socket",
                device: name.clone(),
                source,
            })?;
        tokio::spawn(connection);
        Ok(Self {
            netlink,
            name,
            listing: Arc::default(),
        })
    }

    /// The hardware address of the device.
    ///
    /// # Errors
    /// When there is no such device.
    pub async fn mac(&self) -> Result<Mac, LanError> {
        Ok(self.device().await?.mac)
    }

    /// The first address with a network of its own (virtual addresses have none) and the length
    /// of its prefix.
    ///
    /// # Errors
    /// When there is none.
    pub async fn address(&self) -> Result<(Ipv4Addr, u8), LanError> {
        let found = self.addresses(self.index()?).await?;
        found
            .iter()
            .filter(|message| message.header.prefix_len < 32)
            .find_map(|message| Some((local(message)?, message.header.prefix_len)))
            .ok_or_else(|| LanError::NoAddress {
                device: self.name.clone(),
            })
    }

    fn none(&self) -> LanError {
        LanError::NoDevice {
            device: self.name.clone(),
        }
    }

    /// The device's number, for what is done every second: reading whole link messages was more than
    /// half of what an idle agent computed itself.
    #[expect(unsafe_code, reason = "the standard library has no if_nametoindex")]
    pub(super) fn index(&self) -> Result<u32, LanError> {
        let name = CString::new(&*self.name).map_err(|_| self.none())?;
        // SAFETY: the name ends with a zero byte and outlives the call, which keeps nothing of it.
        match unsafe { libc::if_nametoindex(name.as_ptr()) } {
            0 => Err(self.none()),
            index => Ok(index),
        }
    }

    pub(super) async fn device(&self) -> Result<Device, LanError> {
        let none = || self.none();
        let stream = self
            .netlink
            .link()
            .get()
            .match_name(self.name.to_string())
            .execute();
        pin_mut!(stream);
        let link = match stream.try_next().await {
            Ok(link) => link.ok_or_else(none)?,
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => {
                return Err(none());
            }
            Err(error) => return Err(self.refused("look at the device")(error)),
        };
        let mac = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(Mac),
                _ => None,
            });
        Ok(Device {
            index: link.header.index,
            mac: mac.ok_or_else(none)?,
            has_carrier: link.header.flags.contains(LinkFlags::LowerUp),
        })
    }

    pub(super) async fn addresses(&self, index: u32) -> Result<Vec<AddressMessage>, LanError> {
        let _turn = self.listing.lock().await;
        let stream = self
            .netlink
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        pin_mut!(stream);
        let mut found = Vec::new();
        while let Some(message) = stream
            .try_next()
            .await
            .map_err(self.refused("list addresses"))?
        {
            found.push(message);
        }
        Ok(found)
    }

    pub(super) fn refused(
        &self,
        doing: &'static str,
    ) -> impl Fn(rtnetlink::Error) -> LanError + use<> {
        let device = self.name.clone();
        move |source| LanError::Netlink {
            doing,
            device: device.clone(),
            source,
        }
    }

    pub(super) fn socket(&self, doing: &'static str) -> impl Fn(io::Error) -> LanError + use<> {
        let device = self.name.clone();
        move |source| LanError::Socket {
            doing,
            device: device.clone(),
            source,
        }
    }
}

/// The address a message is about.
pub(super) fn local(message: &AddressMessage) -> Option<Ipv4Addr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        })
}

/// The directed broadcast address of a network.
pub(super) fn broadcast(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) | host_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_addresses() {
        let address = Ipv4Addr::new(172, 21, 14, 3);
        assert_eq!(broadcast(address, 24), Ipv4Addr::new(172, 21, 14, 255));
        assert_eq!(broadcast(address, 30), Ipv4Addr::new(172, 21, 14, 3));
        assert_eq!(broadcast(address, 32), address);
        assert_eq!(broadcast(address, 0), Ipv4Addr::BROADCAST);
    }

    #[tokio::test]
    async fn a_device_that_is_not_there_is_named() {
        let lan = Lan::open("none0").unwrap();
        let error = lan.address().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "none0: no such network device; see the site medium's lan.network"
        );
    }
}
