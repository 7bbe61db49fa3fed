//! Loads: measured here, told to all through the share (paper, sections 2.5 and 4.1).
//!
//! Each server replaces `load/<server>` once every T_im and reads those of all. The head of the
//! group replaces the paper's condition file from them.

use std::time::Duration;

use super::{Effects, SHARE};
use crate::cluster::ServerName;
use crate::host::load::{self, Sampler};
use crate::manage::Input;
use crate::manage::placement::{self, Sample};
use crate::share::ShareError;

/// N_rat, KB/s sent and received: a LAN of 1,000 Mbit/s (paper, section 2.5).
const RATED_KB: f64 = 256_000.0;
/// The least time between two measurements.
const LEAST: Duration = Duration::from_secs(1);

/// Measures, tells and reads until dropped.
pub(super) async fn run(effects: Effects) {
    let device = effects.facts.site.device.clone();
    let (capacity, mut sampler) = match (load::capacity(), Sampler::start(&device)) {
        (Ok(capacity), Ok(sampler)) => (capacity, sampler),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("this server's load cannot be measured: {error}");
            return;
        }
    };
    let every = effects.timings().t_im.max(LEAST);
    // The first averages come soon, so that placement has something to go by.
    let mut pause = LEAST;
    let mut own: Option<Sample> = None;
    loop {
        tokio::time::sleep(pause).await;
        pause = every;
        match sampler.sample() {
            Ok(sample) => {
                let now = [
                    sample.mem_available_kb as f64,
                    sample.cpu_idle_percent,
                    sample.net_kb_per_s,
                ];
                let before = own
                    .as_ref()
                    .map_or(now, |own| [own.am[1], own.ac[1], own.an[1]]);
                own = Some(Sample {
                    name: effects.facts.config.me.clone(),
                    cores: capacity.cores.into(),
                    memory_kb: capacity.mem_total_kb as f64,
                    rated_kb: RATED_KB,
                    vm: 0,
                    am: [before[0], now[0]],
                    ac: [before[1], now[1]],
                    an: [before[2], now[2]],
                });
            }
            Err(error) => tracing::warn!("this server's load: {error}"),
        }
        if let Err(error) = exchange(&effects, own.as_ref()).await {
            tracing::debug!("loads: {error}");
        }
    }
}

async fn exchange(effects: &Effects, own: Option<&Sample>) -> Result<(), ShareError> {
    let share = effects.share.within(SHARE);
    if let Some(own) = own {
        let text = serde_json::to_string(own).unwrap_or_default();
        let name = format!("load/{}", own.name);
        share.replace(&name, &text).await?;
    }
    let mut samples = Vec::new();
    let servers: Vec<ServerName> = effects.facts.config.base.names().cloned().collect();
    for server in &servers {
        match share.read_checked(&format!("load/{server}")).await {
            Ok(found) => samples.extend(serde_json::from_str::<Sample>(&found.text)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    if servers.first() == Some(&effects.facts.config.me) {
        share
            .replace("condition", &placement::condition(&samples).to_string())
            .await?;
    }
    effects.tell(Input::Loads(samples)).await;
    Ok(())
}
