//! The watch over this host's network daemon (paper, section 2.3): a server whose network daemon is
//! in trouble can neither serve nor recover others, and nobody else can cure it.
//!
//! The kernel tells when a link changes or an address goes; a slow timer catches what it does not
//! tell. Addresses that come are no trouble, and a VIP is renewed every second. If the daemon does not run, or the LAN device lost its address although it has a carrier,
//! the daemon is restarted, ever more rarely while that does not help.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{AsyncSocket, SocketAddr};
use rtnetlink::packet_core::NetlinkPayload;
use tokio::time::{Instant, sleep, timeout};

use super::lan::{Lan, LanError};
use super::systemd;

/// systemd's network daemon.
const UNIT: &str = "systemd-networkd";
/// Multicast groups of rtnetlink as bits: links (group 1), IPv4 addresses (group 5).
const GROUPS: u32 = 1 | (1 << 4);

/// How patient the watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time between examinations when the kernel tells nothing.
    pub every: Duration,
    /// How long trouble must last before the daemon is restarted; it also lets a burst of changes
    /// pass.
    pub settle: Duration,
    /// Pause after the first restart that did not help; each further one doubles it.
    pub pause_min: Duration,
    /// The longest pause between restarts.
    pub pause_max: Duration,
    /// Time for systemd to restart the daemon.
    pub systemd: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            settle: Duration::from_secs(1),
            pause_min: Duration::from_secs(5),
            pause_max: Duration::from_secs(300),
            systemd: Duration::from_secs(20),
        }
    }
}

/// What an examination of the own network finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// No carrier: a cable or a switch, which no daemon can cure.
    NoCarrier,
    DaemonDown,
    NoAddress,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "the network is well",
            Self::NoCarrier => "no carrier on the LAN: look at cable and switch",
            Self::DaemonDown => "the network daemon does not run",
            Self::NoAddress => "the LAN address is gone",
        })
    }
}

/// Watches for ever. `log` gets one line for each restart and each return to health.
///
/// # Errors
/// When the kernel cannot be listened to at all.
pub async fn watch(
    lan: &Lan,
    patience: Patience,
    mut log: impl FnMut(String),
) -> Result<Infallible, LanError> {
    let (mut connection, _netlink, mut changes) =
        rtnetlink::new_connection().map_err(lan.socket("open a netlink socket"))?;
    let own = connection.socket_mut().socket_mut();
    own.bind(&SocketAddr::new(0, GROUPS))
        .map_err(lan.socket("listen to link changes"))?;
    tokio::spawn(connection);

    let mut restarts = Restarts::new(patience);
    let mut last = Health::Good;
    loop {
        let change = async {
            while let Some((message, _)) = changes.next().await {
                if may_be_trouble(&message.payload) {
                    return;
                }
            }
            // The channel to the kernel is gone; the timer has to do.
            pending().await
        };
        // Either is a reason to look.
        let _ = timeout(patience.every, change).await;
        let mut health = examine(lan).await;
        if health != Health::Good {
            sleep(patience.settle).await;
            health = examine(lan).await;
        }
        // What has come in the meantime is covered by the examination just made.
        while let Ok(Some(_)) = timeout(Duration::ZERO, changes.next()).await {}
        if health != last {
            log(health.to_string());
            last = health;
        }
        if restarts.due(health, Instant::now()) {
            log(format!("restart {UNIT}: {health}"));
            if let Err(error) = systemd::restart(&[UNIT], patience.systemd).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "{UNIT} not restarted"
                );
            }
        }
    }
}

/// Whether what the kernel tells is more than an address that comes or is prolonged.
fn may_be_trouble(payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    !matches!(
        payload,
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(_))
    )
}

async fn examine(lan: &Lan) -> Health {
    if !systemd::is_running(&UNIT) {
        return Health::DaemonDown;
    }
    match lan.address().await {
        Ok(_) => Health::Good,
        Err(_) => match lan.device().await {
            Ok(device) if !device.has_carrier => Health::NoCarrier,
            _ => Health::NoAddress,
        },
    }
}

/// When the daemon may be restarted again.
#[derive(Debug)]
struct Restarts {
    patience: Patience,
    /// The pause after the next restart.
    pause: Duration,
    not_before: Option<Instant>,
}

impl Restarts {
    fn new(patience: Patience) -> Self {
        Self {
            patience,
            pause: patience.pause_min,
            not_before: None,
        }
    }

    /// Whether to restart now; if so, it counts as done.
    fn due(&mut self, health: Health, now: Instant) -> bool {
        match health {
            Health::Good => {
                // Forgotten only after the pause, so that a daemon which dies again and again is
                // not restarted in a loop.
                if self.not_before.is_none_or(|at| now >= at) {
                    *self = Self::new(self.patience);
                }
                false
            }
            Health::NoCarrier => false,
            Health::DaemonDown | Health::NoAddress => {
                if self.not_before.is_some_and(|at| now < at) {
                    return false;
                }
                self.not_before = Some(now + self.pause);
                self.pause = (self.pause * 2).min(self.patience.pause_max);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds at which an examination every second leads to a restart.
    fn restarts(seconds: u64, health: impl Fn(u64) -> Health) -> Vec<u64> {
        let start = Instant::now();
        let mut restarts = Restarts::new(Patience::default());
        (0..seconds)
            .filter(|&s| restarts.due(health(s), start + Duration::from_secs(s)))
            .collect()
    }

    #[test]
    fn pauses_double_while_it_does_not_help() {
        assert_eq!(restarts(100, |_| Health::DaemonDown), [0, 5, 15, 35, 75]);
        let last = restarts(4000, |_| Health::NoAddress);
        assert!(
            last.windows(2).all(|pair| pair[1] - pair[0] <= 300),
            "{last:?}"
        );
    }

    #[test]
    fn health_resets_the_pause() {
        let health = |s| {
            if s % 50 == 0 {
                Health::NoAddress
            } else {
                Health::Good
            }
        };
        assert_eq!(restarts(151, health), [0, 50, 100, 150]);
    }

    #[test]
    fn a_daemon_that_dies_at_once_is_not_restarted_in_a_loop() {
        let health = |s| {
            if s % 2 == 0 {
                Health::DaemonDown
            } else {
                Health::Good
            }
        };
        assert_eq!(restarts(10, health), [0, 6]);
    }

    #[test]
    fn a_cut_cable_is_not_the_daemons_fault() {
        assert!(restarts(1000, |_| Health::NoCarrier).is_empty());
    }
}
