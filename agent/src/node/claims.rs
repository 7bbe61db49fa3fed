//! Claims and management files on the share.
//!
//! Claims and readings are tasks of their own. States and views are replaced in the order they
//! were decided, by one task that retries and skips what is no longer the newest. Views are for
//! people and for servers that start, and are several files. In a recovery they change with every step,
//! and the file server has more urgent work: so they are written half a round after the first change,
//! with all that came meanwhile, or when the node ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{CLAIMS, Effects};
use crate::cluster::{Epoch, ServerName};
use crate::manage::claim::{Claim, Purpose, Record, State};
use crate::manage::{ClaimResult, Input, Query, Views};
use crate::share::{self, ClaimOutcome, ClaimSeen, Share, ShareError};

/// Pause before a write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How many times in a round changed views are written at most.
const VIEWS_A_ROUND: u32 = 2;
/// How long the end of the node waits for the share.
const LAST: Duration = Duration::from_secs(1);

/// The claims' side of the share.
pub(super) struct Claims {
    effects: Effects,
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Our own claims as they are on the share, nonce and all: a claim tried again must be the
    /// same, and only its holder may write its state.
    own: Mutex<HashMap<(ServerName, Epoch, Purpose), share::Claim>>,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    states: BTreeMap<ServerName, Record>,
    views: Option<Views>,
    /// Since when they wait.
    since: Option<Instant>,
    /// Nothing comes any more: what waits is due.
    ends: bool,
}

impl Claims {
    pub(super) fn start(effects: &Effects) -> Self {
        let shared = Arc::new(Shared::default());
        let pause = effects.timings().t_im / VIEWS_A_ROUND;
        let writer = tokio::spawn(write(effects.share.clone(), Arc::clone(&shared), pause));
        tokio::spawn(make_room(
            effects.share.clone(),
            effects.facts.config.me.clone(),
        ));
        Self {
            effects: effects.clone(),
            shared,
            writer,
        }
    }

    /// Writes what waits, if the share takes it soon.
    pub(super) async fn end(self) {
        self.shared.wait(|waiting| waiting.ends = true);
        if timeout(LAST, self.writer).await.is_err() {
            tracing::warn!("the share does not answer: not all is written at the end");
        }
    }

    pub(super) fn claim(&self, claim: Claim) {
        let (effects, shared) = (self.effects.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let result = try_claim(&effects.share, &shared, &claim).await;
            let result = result.unwrap_or_else(|error| ClaimResult::Failed(error.to_string()));
            effects.tell(Input::Claimed { claim, result }).await;
        });
    }

    pub(super) fn read(&self, query: Query) {
        let (effects, shared) = (self.effects.clone(), Arc::clone(&self.shared));
        let begun = effects.now();
        tokio::spawn(async move {
            // Who reads for its own grant must know soon.
            let within = match &query {
                Query::One(function) if *function == effects.facts.config.me => {
                    effects.timings().read_within()
                }
                _ => CLAIMS,
            };
            let share = effects.share.within(within);
            let functions: Vec<ServerName> = match &query {
                Query::All => effects.facts.config.data.keys().cloned().collect(),
                Query::One(function) => vec![function.clone()],
            };
            let mut records = Vec::new();
            let mut failed = None;
            for function in &functions {
                match newest(&share, &shared, function, &effects.facts.config.me).await {
                    Ok(record) => records.extend(record),
                    Err(error) => {
                        failed = Some(error.to_string());
                        break;
                    }
                }
            }
            let result = failed.map_or(Ok(records), Err);
            effects
                .tell(Input::Claims {
                    query,
                    begun,
                    result,
                })
                .await;
        });
    }

    pub(super) fn write_state(&self, record: Record) {
        self.shared.wait(|waiting| {
            waiting.states.insert(record.claim.function.clone(), record);
        });
    }

    pub(super) fn write_views(&self, views: Views) {
        self.shared.wait(|waiting| waiting.change(views));
    }
}

impl Waiting {
    fn change(&mut self, views: Views) {
        self.views = Some(views);
        self.since.get_or_insert_with(Instant::now);
    }
}

/// What is due at a moment.
struct Due {
    states: BTreeMap<ServerName, Record>,
    views: Option<Views>,
    /// How long until the views are, if they wait.
    left: Option<Duration>,
    ends: bool,
}

impl Shared {
    fn wait(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// What is to be written now, the views only if they have waited for `pause`.
    fn take(&self, pause: Duration) -> Due {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let states = std::mem::take(&mut waiting.states);
        let waited = waiting.since.map(|since| since.elapsed());
        let left = waited.map(|waited| match waiting.ends {
            true => Duration::ZERO,
            false => pause.saturating_sub(waited),
        });
        let views = waiting.views.take_if(|_| left == Some(Duration::ZERO));
        if views.is_some() {
            waiting.since = None;
        }
        Due {
            states,
            views,
            left,
            ends: waiting.ends,
        }
    }

    fn own(&self, claim: &Claim) -> Option<share::Claim> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.get(&(claim.function.clone(), claim.epoch, claim.purpose))
            .cloned()
    }

    fn remember(&self, claim: &share::Claim) {
        let Some(purpose) = purpose(claim) else {
            return;
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Older claims of the function are history.
        own.retain(|(function, epoch, _), _| *function != claim.function || *epoch >= claim.epoch);
        own.insert(
            (claim.function.clone(), claim.epoch, purpose),
            claim.clone(),
        );
    }
}

/// Makes the place of the claims on this server's function, when the share is there.
async fn make_room(share: Share, me: ServerName) {
    while let Err(error) = share.make_room_for_claims(&me).await {
        tracing::debug!("{error}");
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_claim(
    share: &Share,
    shared: &Shared,
    claim: &Claim,
) -> Result<ClaimResult, ShareError> {
    let ours = match shared.own(claim) {
        Some(ours) => ours,
        None => {
            let mut ours = share::Claim::new(&claim.function, claim.epoch, &claim.owner)?;
            ours.purpose = match claim.purpose {
                Purpose::Recover => "recover",
                Purpose::Home => "home",
            }
            .to_owned();
            shared.remember(&ours);
            ours
        }
    };
    let own = share.newest_claim(&claim.owner).await?;
    let own = own.map(record).transpose()?;
    if let Some(own) = own.filter(|own| claim.is_barred_by(own)) {
        return Ok(ClaimResult::Lost(Box::new(own)));
    }
    let newest = share.newest_claim(&claim.function).await?;
    let outcome = match newest {
        // Taken already: what counts is the newest, which may be newer still.
        Some(seen) if seen.claim.epoch > claim.epoch => {
            return Ok(ClaimResult::Lost(Box::new(record(seen)?)));
        }
        _ => share.claim(&ours).await?,
    };
    match outcome {
        ClaimOutcome::Claimed => Ok(ClaimResult::Won),
        ClaimOutcome::HeldBy(_) => match share.newest_claim(&claim.function).await? {
            Some(seen) => Ok(ClaimResult::Lost(Box::new(record(seen)?))),
            None => Ok(ClaimResult::Failed("the claim vanished".to_owned())),
        },
    }
}

async fn newest(
    share: &Share,
    shared: &Shared,
    function: &ServerName,
    me: &ServerName,
) -> Result<Option<Record>, ShareError> {
    let Some(seen) = share.newest_claim(function).await? else {
        return Ok(None);
    };
    let claim = &seen.claim;
    let is_new = |purpose| {
        let own = shared.own.lock().unwrap_or_else(PoisonError::into_inner);
        !own.contains_key(&(function.clone(), claim.epoch, purpose))
    };
    if claim.owner == *me && purpose(claim).is_some_and(is_new) {
        shared.remember(claim);
    }
    record(seen).map(Some)
}

fn purpose(claim: &share::Claim) -> Option<Purpose> {
    match claim.purpose.as_str() {
        "recover" => Some(Purpose::Recover),
        "home" => Some(Purpose::Home),
        _ => None,
    }
}

fn record(seen: ClaimSeen) -> Result<Record, ShareError> {
    let claim = seen.claim;
    let Some(purpose) = purpose(&claim) else {
        let (function, epoch, purpose) = (claim.function, claim.epoch, claim.purpose);
        return Err(ShareError::Purpose {
            function,
            epoch,
            purpose,
        });
    };
    let state: State = seen
        .state
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let claim = Claim {
        function: claim.function,
        epoch: claim.epoch,
        owner: claim.owner,
        purpose,
    };
    Ok(Record { claim, state })
}

/// Replaces states and views, the newest of each only, until the node ends.
async fn write(share: Share, shared: Arc<Shared>, pause: Duration) {
    loop {
        let due = shared.take(pause);
        if due.states.is_empty() && due.views.is_none() {
            if due.ends {
                return;
            }
            // Either something changed, or the views are due.
            let _ = timeout(due.left.unwrap_or(Duration::MAX), shared.changed.notified()).await;
            continue;
        }
        let mut again = Waiting::default();
        for (function, record) in due.states {
            if let Err(error) = write_state(&share, &shared, &record).await {
                tracing::warn!("{error}");
                if !matches!(error, ShareError::NotHolder { .. }) {
                    again.states.insert(function, record);
                }
            }
        }
        if let Some(views) = due.views {
            if let Err(error) = write_views(&share, &views).await {
                tracing::warn!("{error}");
                again.views = Some(views);
            }
        }
        if !again.states.is_empty() || again.views.is_some() {
            tokio::time::sleep(RETRY).await;
            shared.wait(|waiting| {
                for (function, record) in again.states {
                    waiting.states.entry(function).or_insert(record);
                }
                if let (None, Some(views)) = (&waiting.views, again.views) {
                    waiting.change(views);
                }
            });
        }
    }
}

async fn write_state(share: &Share, shared: &Shared, record: &Record) -> Result<(), ShareError> {
    let Some(claim) = shared.own(&record.claim) else {
        return Ok(());
    };
    let text = serde_json::to_string(&record.state).unwrap_or_default();
    share.replace_state(&claim, &text).await
}

/// All servers must be found in group and separation file together at any moment: the group
/// file names all while servers move.
async fn write_views(share: &Share, views: &Views) -> Result<(), ShareError> {
    let mut all = views.group.clone();
    for member in views.separation.members() {
        all.insert(member.clone());
    }
    if all.len() > views.group.len() {
        share.replace("group", &all.to_string()).await?;
    }
    share
        .replace("separation", &views.separation.to_string())
        .await?;
    share.replace("group", &views.group.to_string()).await?;
    share
        .replace("operation", &views.operation.to_string())
        .await?;
    share.replace("trouble", &views.trouble.to_string()).await
}

#[cfg(test)]
mod tests;
