//! When this server counts as ready, for what systemd starts after the executer: the function
//! comes first.

use tokio::time::{Instant, sleep};

use super::{Patience, flag};
use crate::observe::Status;
use crate::site::Paths;

/// Waits until the own function is at home, or has not come within [`Patience::home`], or this
/// server is not to manage.
pub(super) async fn wait(paths: &Paths, patience: Patience) {
    let give_up = Instant::now() + patience.home;
    // A flag that cannot be looked for is the executer's to tell.
    while flag::is_set(&paths.flag()).unwrap_or(true) && !is_home(paths) && Instant::now() < give_up
    {
        sleep(patience.poll).await;
    }
}

/// Whether the node says that this server holds its VIP.
fn is_home(paths: &Paths) -> bool {
    Status::read(&paths.status()).is_ok_and(|status| status.vip.is_some_and(|vip| vip.held))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::cluster::Epoch;
    use crate::observe::VipStatus;

    const PATIENCE: Patience = Patience {
        poll: Duration::from_millis(500),
        share: Duration::from_secs(5),
        start: Duration::from_secs(15),
        home: Duration::from_secs(20),
    };

    fn tell(paths: &Paths, held: bool) {
        let vip = VipStatus {
            address: Ipv4Addr::new(172, 21, 14, 203),
            held,
            epoch: Epoch(1),
        };
        let status = Status {
            vip: Some(vip),
            ..Status::default()
        };
        status.write(&paths.status()).unwrap();
    }

    /// How long it waited, in milliseconds, while `then` was done beside it.
    async fn waited(paths: &Paths, then: impl Future<Output = ()>) -> u128 {
        let began = Instant::now();
        let ready = wait(paths, PATIENCE);
        timeout(Duration::from_secs(60), async {
            tokio::select! {
                () = ready => {}
                () = async { then.await; std::future::pending().await } => {}
            }
        })
        .await
        .unwrap();
        began.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_ready_when_its_function_is_at_home_or_will_not_come() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            site: directory.path().join("site"),
            state: directory.path().join("state"),
            share: directory.path().join("share"),
            run: directory.path().into(),
        };
        let nothing = async || {};
        assert_eq!(waited(&paths, nothing()).await, 0, "not to manage");
        flag::set(&paths.flag()).unwrap();
        assert_eq!(waited(&paths, nothing()).await, 20_000, "no node");
        tell(&paths, false);
        assert_eq!(waited(&paths, nothing()).await, 20_000, "not at home");
        let comes = async || {
            sleep(Duration::from_millis(3700)).await;
            tell(&paths, true);
        };
        assert_eq!(waited(&paths, comes()).await, 4000);
        assert_eq!(waited(&paths, nothing()).await, 0, "at home");
    }
}
