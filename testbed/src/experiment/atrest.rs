//! The cluster's managers brought to rest and set to work again: every flag cleared, every flag set.

use super::ring::RingState;
use super::site::{self, Site, SiteServer};
use anyhow::{Context, bail};
use std::time::Duration;

/// Brings the managers of a server to rest.
pub const REST: [&str; 3] = ["ringward", "flag", "clear"];

const SMALL: Duration = Duration::from_secs(60);
/// Until every server has let its VIP go.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Until the servers that are set to work are a regular ring.
const RING_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Has every server give up the golden states that it keeps loaded, while the managers are at rest: one that
/// begins to manage takes them over, and one that ends that ends what it hosts.
///
/// # Errors
/// As those of [`work`] and [`rest`].
pub fn unload(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    work(site, servers)?;
    rest(site, servers)
}

/// Clears every flag and waits until no server holds its VIP any more.
///
/// # Errors
/// When a server does not take the order, or keeps its VIP.
pub fn rest(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site::output(site, &server.name, &REST, SMALL)?;
    }
    wait(site, REST_WITHIN, || {
        let state = RingState::look(site)?;
        let holds = |server: &&SiteServer| {
            let addresses = state.addresses.get(&server.name);
            addresses.is_some_and(|addresses| addresses.contains(&server.vip))
        };
        Ok(servers
            .iter()
            .find(holds)
            .map(|server| format!("{} holds its VIP", server.name)))
    })
    .context("bringing the managers to rest")
}

/// Has every flag set, side by side: one after the other, the last would begin when the first have long
/// awaited it. The servers are a regular ring some seconds later.
///
/// # Errors
/// When a server does not take the order.
pub fn begin(site: &dyn Site, servers: &[SiteServer]) -> anyhow::Result<()> {
    for server in servers {
        site.start(&server.name, &["ringward", "flag", "set"])?;
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
