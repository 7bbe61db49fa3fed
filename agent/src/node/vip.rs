//! The own VIP: one lane, so that adding, renewing and removing happen in the order decided.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Effects;
use crate::host::lan::LanError;
use crate::manage::{Input, Now};
use crate::observe::chain;

/// Pause after the LAN could not be listened to.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Order {
    Take { until: Now },
    Keep { until: Now },
    Drop,
}

/// The lane.
pub(super) struct VipLane {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl VipLane {
    /// Starts it; an address left by an earlier run is taken off first.
    pub(super) fn start(effects: &Effects) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(effects.clone(), received));
        Self { orders, task }
    }

    pub(super) fn take(&self, until: Now) {
        let _ = self.orders.send(Order::Take { until });
    }

    pub(super) fn keep(&self, until: Now) {
        let _ = self.orders.send(Order::Keep { until });
    }

    pub(super) fn drop_it(&self) {
        let _ = self.orders.send(Order::Drop);
    }

    /// Takes the address off for good.
    pub(super) async fn end(self, effects: &Effects) {
        self.task.abort();
        let _ = self.task.await;
        remove(effects).await;
    }
}

async fn run(effects: Effects, mut orders: mpsc::UnboundedReceiver<Order>) {
    remove(&effects).await;
    let mut watch = Watch(None);
    while let Some(order) = orders.recv().await {
        match latest(order, &mut orders) {
            Order::Take { until } => {
                let result = take(&effects, until).await;
                if result.is_ok() {
                    watch = Watch(Some(tokio::spawn(guard(effects.clone()))));
                }
                effects.tell(Input::VipTaken(result)).await;
            }
            Order::Keep { until } => {
                let vip = effects.own().vip;
                match effects.lan.renew_vip(vip, whole(effects.left(until))).await {
                    Ok(()) => {}
                    Err(error @ LanError::Lapsed { .. }) => {
                        tracing::warn!("{}", chain(&error));
                        watch = Watch(None);
                        effects.tell(Input::VipDropped).await;
                    }
                    Err(error) => tracing::error!("{}", chain(&error)),
                }
            }
            Order::Drop => {
                watch = Watch(None);
                remove(&effects).await;
                effects.tell(Input::VipDropped).await;
            }
        }
    }
    drop(watch);
}

/// Of several renewals in a row only the last counts.
fn latest(first: Order, orders: &mut mpsc::UnboundedReceiver<Order>) -> Order {
    let mut order = first;
    while let Order::Keep { .. } = order {
        match orders.try_recv() {
            Ok(next) => order = next,
            Err(_) => break,
        }
    }
    order
}

/// Lifetimes are whole seconds; a part of one is left off, so that the address never outlives
/// its grant by more than the least second there is.
pub(super) fn whole(left: Duration) -> Duration {
    Duration::from_secs(left.as_secs().max(1))
}

async fn take(effects: &Effects, until: Now) -> Result<(), String> {
    let vip = effects.own().vip;
    match effects.lan.duplicate(vip, &[]).await {
        Ok(None) => {}
        Ok(Some(mac)) => return Err(format!("{mac} answers for it")),
        Err(error) => return Err(chain(&error)),
    }
    let left = effects.left(until);
    if left.is_zero() {
        return Err("the grant ran out meanwhile".to_owned());
    }
    let added = effects.lan.add_vip(vip, whole(left)).await;
    added.map_err(|error| chain(&error))
}

/// Announces the address, and again whenever another machine speaks for it.
async fn guard(effects: Effects) {
    let vip = effects.own().vip;
    effects.lan.announce_thrice(vip, None).await;
    loop {
        match effects.lan.conflict(vip, &[]).await {
            Ok(mac) => {
                tracing::warn!("{mac} speaks for {vip}, which is ours: announcing it again");
                if let Err(error) = effects.lan.announce(vip, None).await {
                    tracing::warn!("{}", chain(&error));
                }
                tokio::time::sleep(RETRY / 10).await;
            }
            Err(error) => {
                tracing::warn!("{}", chain(&error));
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn remove(effects: &Effects) {
    if let Err(error) = effects.lan.remove_vip(effects.own().vip).await {
        tracing::error!("{}", chain(&error));
    }
}

/// A task that ends with its owner.
pub(super) struct Watch(pub(super) Option<JoinHandle<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
