//! Backup VMs on this server: one lane each, so that starting, addressing and destroying happen
//! in the order decided, and a VM that hangs holds up no other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Effects;
use super::vip::{Watch, whole};
use crate::cluster::{Activation, ServerName};
use crate::host::vm::{Hypervisor, VmError, VmSettings, VmState};
use crate::manage::{Input, Now};
use crate::observe::chain;

/// Time for the hypervisor to answer for the first time.
const READY: Duration = Duration::from_secs(60);
/// Time to destroy a VM.
const RELEASE: Duration = Duration::from_secs(5);
/// Time to load a golden state.
const LOAD: Duration = Duration::from_secs(120);

/// What a lane can be told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Start,
    SetVip { until: Now },
    KeepVip { until: Now },
    Release,
    Standby { load: bool },
}

/// All lanes, by function.
pub(super) struct VmLanes {
    lanes: HashMap<ServerName, mpsc::UnboundedSender<Order>>,
    shown: Arc<Mutex<BTreeMap<ServerName, &'static str>>>,
    hypervisor: Hypervisor,
    vms: Vec<ServerName>,
}

impl VmLanes {
    /// Starts the hypervisor's lanes; of what is here, only loaded states are kept.
    ///
    /// # Errors
    /// When no thread can be had. A hypervisor that does not answer is waited for elsewhere.
    pub(super) async fn start(effects: &Effects) -> Result<Self, VmError> {
        let prefix = effects.lan.address().await.map_or(24, |(_, prefix)| prefix);
        let settings = VmSettings {
            bridge: effects.facts.site.device.clone(),
            prefix,
            images: effects.paths.share.join("images"),
            backup: effects.paths.share.join("backup"),
            work: effects.paths.state.join("vm"),
            ..VmSettings::default()
        };
        let hypervisor = Hypervisor::start(settings)?;
        let shown: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let mut lanes = HashMap::new();
        let mut vms = Vec::new();
        for (function, data) in &effects.facts.config.data {
            let (orders, received) = mpsc::unbounded_channel();
            let lane = Lane {
                effects: effects.clone(),
                hypervisor: hypervisor.clone(),
                function: function.clone(),
                vm: data.vm_name.clone(),
                shown: Arc::clone(&shown),
                watch: Watch(None),
            };
            tokio::spawn(lane.run(received));
            lanes.insert(function.clone(), orders);
            vms.push(data.vm_name.clone());
        }
        Ok(Self {
            lanes,
            shown,
            hypervisor,
            vms,
        })
    }

    pub(super) fn order(&self, function: &ServerName, order: Order) {
        if let Some(lane) = self.lanes.get(function) {
            let _ = lane.send(order);
        }
    }

    /// The VMs here and what they do.
    pub(super) fn shown(&self) -> BTreeMap<ServerName, &'static str> {
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Kills all, without libvirt, which has been stopped already when this server shuts down. Where it has
    /// not, it then destroys what a lane was just starting.
    pub(super) async fn end(self) {
        drop(self.lanes);
        for vm in &self.vms {
            match self.hypervisor.kill(vm) {
                Ok(true) => tracing::info!("{vm} killed"),
                Ok(false) => {}
                Err(error) => tracing::error!("{}", chain(&error)),
            }
        }
        let here = match timeout(RELEASE, self.hypervisor.running()).await {
            Ok(Ok(here)) => here,
            _ => return,
        };
        let ours = |vm: &&ServerName| here.iter().any(|(name, _)| name == vm.as_str());
        for vm in self.vms.iter().filter(ours) {
            release(&self.hypervisor, vm).await;
        }
    }
}

async fn release(hypervisor: &Hypervisor, vm: &ServerName) -> bool {
    match timeout(RELEASE, hypervisor.release(vm)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!("{}", chain(&error));
            false
        }
        Err(_) => {
            tracing::error!("{vm} is not destroyed after {} s", RELEASE.as_secs());
            false
        }
    }
}

struct Lane {
    effects: Effects,
    hypervisor: Hypervisor,
    function: ServerName,
    vm: ServerName,
    shown: Arc<Mutex<BTreeMap<ServerName, &'static str>>>,
    watch: Watch,
}

impl Lane {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        if let Err(error) = self.hypervisor.ready(READY).await {
            tracing::error!("{}", chain(&error));
        }
        self.take_over().await;
        while let Some(order) = orders.recv().await {
            let order = latest(order, &mut orders);
            self.carry_out(order).await;
        }
    }

    /// A state that is loaded already is kept; a VM that an earlier run left is destroyed.
    async fn take_over(&mut self) {
        let Ok(Some(state)) = self.found().await else {
            return;
        };
        let wanted = self.effects.facts.config.settings.activation == Activation::Standby;
        if wanted && state == VmState::Standby {
            self.show(Some("standby"));
            let (function, loaded) = (self.function.clone(), true);
            self.effects.tell(Input::Standby { function, loaded }).await;
        } else {
            release(&self.hypervisor, &self.vm).await;
        }
    }

    /// The VM, if it is here already.
    async fn found(&self) -> Result<Option<VmState>, VmError> {
        let here = self.hypervisor.running().await?;
        let ours = here.into_iter().find(|(name, _)| name == self.vm.as_str());
        Ok(ours.map(|(_, state)| state))
    }

    async fn carry_out(&mut self, order: Order) {
        let function = self.function.clone();
        match order {
            Order::Start => {
                let result = self.start().await;
                let runs = result.is_ok();
                self.effects
                    .tell(Input::VmStarted { function, result })
                    .await;
                if runs {
                    self.wake().await;
                }
            }
            Order::SetVip { until } => {
                let result = self.set_vip(until).await;
                self.effects
                    .tell(Input::VmVipSet { function, result })
                    .await;
            }
            Order::KeepVip { until } => self.keep_vip(until).await,
            Order::Release => {
                self.watch = Watch(None);
                if release(&self.hypervisor, &self.vm).await {
                    self.show(None);
                    self.effects.tell(Input::VmReleased { function }).await;
                }
            }
            Order::Standby { load: true } => {
                let loaded = self.load().await;
                self.effects.tell(Input::Standby { function, loaded }).await;
            }
            Order::Standby { load: false } => self.drop_standby().await,
        }
    }

    fn show(&self, state: Option<&'static str>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => shown.insert(self.vm.clone(), state),
            None => shown.remove(&self.vm),
        };
    }

    async fn start(&mut self) -> Result<(), String> {
        let within = self.effects.timings().t_va;
        let started = timeout(within, self.hypervisor.activate(&self.vm)).await;
        match started {
            Ok(Ok(())) => {
                self.show(Some("running"));
                Ok(())
            }
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("not activated within {} s", within.as_secs())),
        }
    }

    /// In the time until its VIP may be set. A guest that does not answer says so again when it is to set
    /// that.
    async fn wake(&self) {
        let waking = self.hypervisor.wake(&self.vm);
        match timeout(self.effects.timings().t_va, waking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("{}", chain(&error)),
            Err(_) => tracing::warn!("{} does not answer: not woken", self.vm),
        }
    }

    async fn set_vip(&mut self, until: Now) -> Result<(), String> {
        let Some(data) = self.effects.data(&self.function) else {
            return Err("no management data".to_owned());
        };
        let (vip, mac) = (data.vip, data.mac.of_vm());
        match self.effects.lan.duplicate(vip, &[mac]).await {
            Ok(None) => {}
            Ok(Some(other)) => return Err(format!("{other} answers for {vip}")),
            Err(error) => return Err(chain(&error)),
        }
        let valid = whole(self.effects.left(until));
        let set = self.hypervisor.set_vip(&self.vm, vip, valid);
        match timeout(self.effects.timings().t_va, set).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => return Err("the guest does not answer".to_owned()),
        }
        self.show(Some("serving"));
        let effects = self.effects.clone();
        let guard = async move {
            effects.lan.announce_thrice(vip, Some(mac)).await;
            while let Ok(other) = effects.lan.conflict(vip, &[mac]).await {
                tracing::warn!("{other} speaks for {vip}, which is at {mac}: announcing it again");
                let _ = effects.lan.announce(vip, Some(mac)).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        self.watch = Watch(Some(tokio::spawn(guard)));
        Ok(())
    }

    async fn keep_vip(&mut self, until: Now) {
        let Some(vip) = self.effects.data(&self.function).map(|data| data.vip) else {
            return;
        };
        let left = self.effects.left(until);
        if left.is_zero() {
            return;
        }
        let renew = self.hypervisor.renew_vip(&self.vm, vip, whole(left));
        match timeout(left, renew).await {
            Ok(Ok(())) => {}
            Ok(Err(VmError::Lapsed { .. })) => {
                tracing::warn!("{vip} ran out on {}: setting it again", self.vm);
                if let Err(reason) = self.set_vip(until).await {
                    tracing::error!("{vip} on {}: {reason}", self.vm);
                }
            }
            Ok(Err(error)) => tracing::error!("{}", chain(&error)),
            Err(_) => tracing::warn!("{} does not answer: {vip} not renewed", self.vm),
        }
    }

    /// Takes the state to hand, in the way that is set, unless its VM is here already; whether it is then.
    async fn load(&mut self) -> bool {
        let found = match self.found().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("{}", chain(&error));
                return false;
            }
        };
        let (at_hand, shown) = match (found, self.effects.facts.config.settings.activation) {
            (Some(state), _) => (state == VmState::Standby, "standby"),
            (None, Activation::Standby) => {
                let loading = self.hypervisor.load(&self.vm);
                (self.within_limit(loading).await, "standby")
            }
            // Read ahead, so that it need not come over the network when it is restored.
            (None, Activation::Restore) => {
                let reading = self.hypervisor.read_ahead(&self.vm);
                (self.within_limit(reading).await, "cached")
            }
        };
        if at_hand {
            self.show(Some(shown));
        }
        at_hand
    }

    async fn within_limit<T>(&self, loading: impl Future<Output = Result<T, VmError>>) -> bool {
        match timeout(LOAD, loading).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::warn!("{}", chain(&error));
                false
            }
            Err(_) => {
                tracing::warn!("{} is not loaded after {} s", self.vm, LOAD.as_secs());
                false
            }
        }
    }

    async fn drop_standby(&mut self) {
        let gone = match self.found().await {
            Ok(Some(VmState::Standby)) => release(&self.hypervisor, &self.vm).await,
            // What is only cached goes by itself when the memory is needed.
            Ok(None) => true,
            Ok(Some(_)) | Err(_) => false,
        };
        if gone {
            self.show(None);
        }
    }
}

/// Of several renewals in a row only the last counts; of one that follows the setting, its longer life. What
/// else may follow is a release, which makes both void.
fn latest(first: Order, orders: &mut mpsc::UnboundedReceiver<Order>) -> Order {
    let mut order = first;
    while let Order::SetVip { .. } | Order::KeepVip { .. } = order {
        order = match (order, orders.try_recv()) {
            (Order::SetVip { .. }, Ok(Order::KeepVip { until })) => Order::SetVip { until },
            (_, Ok(next)) => next,
            (_, Err(_)) => break,
        };
    }
    order
}
