//! The load of this server, measured every T_im (paper, sections 2.5 and 4.1).

use std::time::Duration;

use super::Effects;
use crate::host::load::{self, Sampler};
use crate::manage::Input;
use crate::manage::placement::Sample;

/// N_rat, KB/s sent and received: a LAN of 1,000 Mbit/s (paper, section 2.5).
const RATED_KB: f64 = 256_000.0;
/// The least time between two measurements.
const LEAST: Duration = Duration::from_secs(1);

/// Measures and tells until dropped.
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
        if let Some(own) = &own {
            effects.tell(Input::Load(Box::new(own.clone()))).await;
        }
    }
}
