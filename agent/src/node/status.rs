//! What `ringward status` shows, from what the node knows.

use super::Effects;
use super::vm::VmLanes;
use crate::manage::{Management, Message};
use crate::observe::{ManagerStatus, PeerStatus, Status, VipStatus, VmStatus};
use crate::peer::{Link, Peers};

/// Replaces the status file; that it cannot be written is worth a line, no more.
pub(super) fn write(
    effects: &Effects,
    management: &Management,
    peers: &Peers<Message>,
    vms: &VmLanes,
    share: &str,
) {
    let now = tokio::time::Instant::now();
    let peer = |name: &crate::cluster::ServerName| {
        let (up, why) = match peers.link(name) {
            Some(Link::Up { .. }) => (true, None),
            Some(Link::Down { why, .. }) => (false, Some(why)),
            None => (false, None),
        };
        let heard = peers
            .heard(name)
            .map(|at| now.saturating_duration_since(at).as_millis());
        let heard_ms = heard.and_then(|ms| u64::try_from(ms).ok());
        PeerStatus {
            name: name.clone(),
            up,
            why,
            heard_ms,
        }
    };
    let me = &effects.facts.config.me;
    let managers = management.modes().into_iter();
    let status = Status {
        server: me.to_string(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        started: effects.facts.started.clone(),
        group: management.group().names().cloned().collect(),
        vip: Some(VipStatus {
            address: effects.own().vip,
            held: management.holds_vip(),
            epoch: management.epoch(me),
        }),
        managers: managers
            .map(|(priority, target, mode)| ManagerStatus {
                priority,
                target,
                mode,
            })
            .collect(),
        vms: vms
            .shown()
            .into_iter()
            .map(|(name, state)| VmStatus {
                name,
                state: state.to_owned(),
            })
            .collect(),
        peers: peers.names().map(peer).collect(),
        share: share.to_owned(),
        ..Status::default()
    };
    if let Err(error) = status.write(&effects.paths.status()) {
        tracing::debug!("{error}");
    }
}
