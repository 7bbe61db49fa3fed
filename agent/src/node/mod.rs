//! The node: the one task that owns [`Management`] and carries out what it decides.
//!
//! ```text
//!   peers ---> |                 | ---> Log, Send                      at once
//!   effects -> |  Management     | ---> probes, claims, views, power   a task each
//!   clock ---> |                 | ---> own VIP, each backup VM        a lane each, in order
//! ```
//!
//! Nothing here waits for an effect: it is started, and its result comes back as an input. So a
//! hung share or hypervisor costs that one effect, never the node. What must happen in order, as
//! all that concerns one VIP, goes through a lane of its own.
//!
//! The task's own pulse is watched: when it comes late (a frozen or starved machine), Management
//! is told before anything else, and throws away what was examined meanwhile.

mod claims;
mod facts;
mod loads;
mod status;
mod vip;
mod vm;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{ManagementData, ServerName, Timings};
use crate::executer::flag;
use crate::host::lan::{Lan, LanError};
use crate::host::vm::VmError;
use crate::host::{power, systemd};
use crate::manage::{Event, ExamId, Input, Management, Message, Now, Output};
use crate::observe::{SystemLog, chain};
use crate::peer::{Identity, IdentityError, PeerError, PeerSettings, Peers};
use crate::probe::{self, Accounts, ProbeError};
use crate::share::{Share, ShareError};
use crate::site::Paths;

use claims::Claims;
pub use facts::{Facts, FactsError};
use vip::VipLane;
use vm::VmLanes;

/// How often the own pulse is looked at.
const PULSE: Duration = Duration::from_millis(250);
/// Inputs that may wait; more means that the node stands still, and late ones are worth nothing.
const INPUTS: usize = 1024;
/// Time for small files on the share.
const SHARE: Duration = Duration::from_secs(2);
/// Time for claims.
const CLAIMS: Duration = Duration::from_secs(1);
/// Time for systemd to take a job.
const SYSTEMD: Duration = Duration::from_secs(10);

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// What it must know is missing or wrong.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// Its keys do not fit.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The peers cannot reach it.
    #[error(transparent)]
    Peers(#[from] PeerError),
    /// The kernel gives no channel.
    #[error(transparent)]
    Lan(#[from] LanError),
    /// No thread for the share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// No thread for the hypervisor.
    #[error(transparent)]
    Vm(#[from] VmError),
}

/// What all effects share.
#[derive(Clone)]
pub(crate) struct Effects {
    start: Instant,
    inputs: mpsc::Sender<Input>,
    facts: Arc<Facts>,
    share: Share,
    lan: Lan,
    paths: Paths,
}

impl Effects {
    /// The node's clock.
    fn now(&self) -> Now {
        Now(self.start.elapsed())
    }

    /// How long until a moment of the node's clock.
    fn left(&self, until: Now) -> Duration {
        until.since(self.now())
    }

    async fn tell(&self, input: Input) {
        // It fails only when the node has ended.
        let _ = self.inputs.send(input).await;
    }

    fn timings(&self) -> &Timings {
        &self.facts.config.settings.timings
    }

    fn data(&self, server: &ServerName) -> Option<&ManagementData> {
        self.facts.config.data.get(server)
    }

    fn own(&self) -> &ManagementData {
        &self.facts.own
    }
}

/// Runs the node until `stop`; then gives up its VIP and its backup VMs.
///
/// # Errors
/// Only at start: keys that do not fit, facts that are missing, an address in use.
pub async fn run(paths: Paths, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
    let facts = Arc::new(Facts::load(&paths).await?);
    let identity = Identity::load(&paths.site, &facts.config.me)?;
    let lan = Lan::open(&facts.site.device)?;
    let share = Share::open(&paths.share, SHARE);
    let log = SystemLog::open(&share, &facts.config.me)?;
    let addresses = facts
        .config
        .data
        .values()
        .map(|data| (data.name.clone(), data.ipr.into()));
    let settings = PeerSettings::new(facts.own.ipr.into(), addresses);
    let (peers, messages) = Peers::start(&identity, settings)?;
    let (inputs, results) = mpsc::channel(INPUTS);
    let effects = Effects {
        start: Instant::now(),
        inputs,
        facts,
        share,
        lan,
        paths,
    };

    let vip = VipLane::start(&effects);
    let vms = VmLanes::start(&effects).await?;
    let claims = Claims::start(&effects);
    let loads = tokio::spawn(loads::run(effects.clone()));
    let management = Management::new(effects.facts.config.clone());
    let mut node = Node {
        effects,
        management,
        log,
        peers,
        vip,
        vms,
        claims,
        status: HashMap::new(),
    };
    node.work(messages, results, stop).await;
    loads.abort();
    node.end().await;
    Ok(())
}

struct Node {
    effects: Effects,
    management: Management,
    log: SystemLog,
    peers: Peers<Message>,
    vip: VipLane,
    vms: VmLanes,
    claims: Claims,
    status: HashMap<&'static str, String>,
}

impl Node {
    async fn work(
        &mut self,
        mut messages: mpsc::Receiver<(ServerName, Message)>,
        mut results: mpsc::Receiver<Input>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut pulse = Instant::now() + PULSE;
        let mut shown = Instant::now();
        let mut due = Instant::now();
        loop {
            // In this order: what has already happened here, then what others say.
            let input = tokio::select! {
                biased;
                () = &mut stop => return,
                () = sleep_until(pulse.min(due)) => Input::Tick,
                Some(input) = results.recv() => input,
                Some((from, message)) = messages.recv() => Input::Message { from, message },
            };
            let now = Instant::now();
            let late = now.saturating_duration_since(pulse);
            if now >= pulse {
                pulse = now + PULSE;
            }
            if late > self.effects.timings().late {
                self.feed(Input::Late(late));
            }
            self.feed(input);
            due = self.effects.start + self.management.next_deadline().0;
            // Never spin: a deadline that stays in the past is looked at again soon.
            due = due.max(Instant::now() + Duration::from_millis(1));
            if now >= shown {
                shown = now + Duration::from_secs(1);
                self.show();
            }
        }
    }

    fn feed(&mut self, input: Input) {
        if let Input::Claims { result, .. } = &input {
            let state = match result {
                Ok(_) => "answers".to_owned(),
                Err(reason) => reason.clone(),
            };
            self.status.insert("share", state);
        }
        let mut outputs = Vec::new();
        let now = self.effects.now();
        self.management.handle(now, input, &mut outputs);
        for output in outputs {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Log(event) => self.log_event(&event),
            Output::Send { to, message } => {
                if let Err(error) = self.peers.send(&to, message) {
                    tracing::warn!("{error}");
                }
            }
            Output::Ping {
                id,
                address,
                within,
            } => {
                self.spawn(async move |effects| {
                    let result = probe::ping(address, within).await;
                    if let Some(ok) = verdict(&id, "ping", result) {
                        effects.tell(Input::Pinged { id, ok }).await;
                    }
                });
            }
            Output::Probe {
                id,
                service,
                address,
                within,
            } => {
                self.spawn(async move |effects| {
                    let accounts = Accounts {
                        settings: effects.facts.config.settings.probe.clone(),
                        ssh_key: effects.paths.probe_key(),
                    };
                    let result =
                        probe::service_by_answers(service, address, &accounts, within).await;
                    if let Some(ok) = verdict(&id, &service.to_string(), result) {
                        effects.tell(Input::Probed { id, service, ok }).await;
                    }
                });
            }
            Output::Claim(claim) => self.claims.claim(claim),
            Output::WriteState(record) => self.claims.write_state(record),
            Output::ReadClaims(query) => self.claims.read(query),
            Output::WriteViews(views) => self.claims.write_views(views),
            Output::WriteCondition(condition) => self.spawn(async move |effects| {
                let share = effects.share.within(SHARE);
                if let Err(error) = share.replace("condition", &condition.to_string()).await {
                    tracing::debug!("condition: {}", chain(&error));
                }
            }),
            Output::TakeVip { until } => self.vip.take(until),
            Output::KeepVip { until } => self.vip.keep(until),
            Output::DropVip => self.vip.drop_it(),
            Output::StartVm { function } => self.vms.order(&function, vm::Order::Start),
            Output::SetVmVip { function, until } => {
                self.vms.order(&function, vm::Order::SetVip { until });
            }
            Output::KeepVmVip { function, until } => {
                self.vms.order(&function, vm::Order::KeepVip { until });
            }
            Output::ReleaseVm { function } => self.vms.order(&function, vm::Order::Release),
            Output::Standby { function, load } => {
                self.vms.order(&function, vm::Order::Standby { load });
            }
            other => self.on_this_machine(other),
        }
    }

    fn on_this_machine(&self, output: Output) {
        match output {
            Output::RestartServices => self.spawn(async move |effects| {
                let within = effects.timings().t_sr;
                let result = systemd::restart(&effects.own().daemons, within).await;
                let result = result.map_err(|error| chain(&error));
                if let Err(reason) = &result {
                    tracing::warn!("{reason}");
                }
                effects.tell(Input::ServicesRestarted(result)).await;
            }),
            Output::Reboot => self.spawn(async move |_| {
                tracing::warn!("a manager has this server rebooted");
                if let Err(error) = systemd::reboot(SYSTEMD).await {
                    tracing::error!("{}", chain(&error));
                }
            }),
            Output::Wake(mac) => self.spawn(async move |effects| {
                if let Err(error) = power::wake(&effects.lan, mac).await {
                    tracing::error!("wake {mac}: {}", chain(&error));
                }
            }),
            Output::RaiseFlag => {
                let path = self.effects.paths.flag();
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = flag::set(&path) {
                        tracing::error!("set {}: {error}", path.display());
                    }
                });
            }
            _ => {}
        }
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, effect: impl FnOnce(Effects) -> F) {
        tokio::spawn(effect(self.effects.clone()));
    }

    fn log_event(&self, event: &Event) {
        match event {
            Event::AwaitS { .. } | Event::Wait {} | Event::P2Wait {} => self.log.tick(event),
            _ => self.log.line(event),
        }
    }

    fn show(&self) {
        let share = self
            .status
            .get("share")
            .map_or("not asked yet", String::as_str);
        status::write(
            &self.effects,
            &self.management,
            &self.peers,
            &self.vms,
            share,
        );
    }

    /// Gives up what this server holds.
    async fn end(self) {
        self.vip.end(&self.effects).await;
        self.vms.end().await;
        self.claims.end().await;
        let log = self.log;
        let flushed = tokio::task::spawn_blocking(move || log.flush(Duration::from_secs(1)));
        let _ = flushed.await;
    }
}

/// Whether the examined machine is well; nothing if the fault is our own.
fn verdict(id: &ExamId, what: &str, result: Result<Duration, ProbeError>) -> Option<bool> {
    match result {
        Ok(_) => Some(true),
        Err(error) if error.is_examiners_own() => {
            tracing::warn!("cannot examine {} by {what}: {}", id.target, chain(&error));
            None
        }
        Err(error) => {
            tracing::debug!("{} by {what}: {}", id.target, chain(&error));
            Some(false)
        }
    }
}
