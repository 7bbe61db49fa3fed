//! The cluster's managers brought to rest and set to work again: every flag cleared, every flag set.

use super::ring::RingState;
use super::site::{self, Site, SiteServer};
use anyhow::{Context, bail};
use std::time::Duration;

/// Brings the managers of a server to rest.
pub const REST: [&str; 3] = ["ringward", "flag", "clear"];

/// Waits on a server at rest until its managers have let everything go: the executer has no child any more.
pub const ENDED: &str = "while pgrep -P $(systemctl show -p MainPID --value ringward-executer) >/dev/null; do sleep 0.2; done";

/// Ends the VMs of a server whose golden states are loaded, and waits until their memory is free.
const UNLOAD: &str = "for vm in /run/libvirt/qemu/*.xml; do
[ -e \"$vm\" ] || continue
pid=$(cat \"${vm%.xml}.pid\"); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done
done";

const SMALL: Duration = Duration::from_secs(60);
/// Until a server has let everything go.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Until the servers that are set to work are a regular ring.
const RING_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Has every server give up the golden states that it keeps loaded, while the managers are at rest.
///
/// # Errors
/// When a server does not end one.
pub fn unload(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        let unloaded = site::output(site, &server.name, &["sh", "-c", UNLOAD], SMALL);
        unloaded.with_context(|| format!("unloading golden states of {}", server.name))?;
    }
    Ok(())
}

/// Clears every flag and waits until no server manages, or holds or hosts anything, any more.
///
/// # Errors
/// When a server does not take the order, or does not end.
pub fn rest(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site::output(site, &server.name, &REST, SMALL)?;
    }
    for server in servers {
        let ended = site::output(site, &server.name, &["sh", "-c", ENDED], REST_WITHIN);
        ended.context("bringing the managers to rest")?;
    }
    Ok(())
}

/// Sets every flag. The servers are a regular ring some seconds later.
///
/// # Errors
/// When a server does not take the order.
pub fn begin(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site::output(site, &server.name, &["ringward", "flag", "set"], SMALL)?;
    }
    Ok(())
}

/// Sets all flags and waits for a regular ring.
///
/// # Errors
/// When a server does not take the order, or they do not become a regular ring.
pub fn work(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    begin(site, servers)?;
    wait(site, RING_WITHIN, || {
        Ok(RingState::look(site)?.irregular(servers))
    })
    .context("setting the managers to work")
}

/// Looks until there is no reason to go on waiting.
///
/// # Errors
/// When there still is one after `within`; says which.
pub fn wait(
    site: &dyn Site,
    within: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<String>>,
) -> anyhow::Result<()> {
    let began = site.now();
    while let Some(reason) = look()? {
        if site.now().saturating_sub(began) > within {
            bail!("not within {} s: {reason}", within.as_secs());
        }
        site.sleep(LOOK_EVERY)?;
    }
    Ok(())
}
