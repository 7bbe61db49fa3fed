//! The client: starts and stops its accesses, and asks whether it is served.

use super::site::{self, Site, SiteServer, node};
use anyhow::Context;
use ringward::cluster::Daemon;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
/// The accounts of examinations, on the client's site medium.
const SETTINGS: &str = "/etc/ringward/cluster.toml";

/// Where the client logs its accesses to the function of `server`.
#[must_use]
pub fn log_path(server: &str) -> String {
    format!("/run/access-{server}.log")
}

fn unit(server: &str) -> String {
    format!("access-{server}.service")
}

/// Starts accesses to the function of `server`, one `every` so often, until [`stop`].
///
/// # Errors
/// When the client does not take the order.
pub fn start(site: &dyn Site, server: &SiteServer, every: Duration) -> anyhow::Result<()> {
    let service = server
        .daemons
        .first()
        .map(Daemon::service)
        .map(|s| s.to_string());
    let service = service.with_context(|| format!("{} has no service to access", server.name))?;
    let (unit, vip) = (
        format!("--unit={}", unit(&server.name)),
        server.vip.to_string(),
    );
    let (every, log) = (format!("{}ms", every.as_millis()), log_path(&server.name));
    let argv = [
        "systemd-run",
        "--quiet",
        "--collect",
        &unit,
        "ringward",
        "probe",
        &service,
        &vip,
        "--every",
        &every,
        "--log",
        &log,
        "--settings",
        SETTINGS,
    ];
    site::output(site, node::CLIENT, &argv, WITHIN)
        .map(drop)
        .with_context(|| format!("starting the client's accesses to {}", server.name))
}

/// Ends the accesses; that they have ended already is no error.
///
/// # Errors
/// When the client does not take the order.
pub fn stop(site: &dyn Site, server: &str) -> anyhow::Result<()> {
    site.exec(node::CLIENT, &["systemctl", "stop", &unit(server)], WITHIN)
        .map(drop)
}

/// Why the client is not served by the function of `server` at present; `None` when it is.
///
/// # Errors
/// When the client does not answer.
pub fn unserved(site: &dyn Site, server: &str) -> anyhow::Result<Option<String>> {
    let ran = site.exec(
        node::CLIENT,
        &["tail", "-n", "1", &log_path(server)],
        WITHIN,
    )?;
    let line = ran.text();
    let said = line.trim().split_once(' ').map_or("", |(_, said)| said);
    Ok(match said {
        "OK" => None,
        "" => Some(format!("no access to {server} yet")),
        said => Some(format!("{server}: {said}")),
    })
}
