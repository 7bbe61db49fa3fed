//! Load of this host from /proc (the paper uses `sar`; section 2.5, Fig. 5(a)): what memory is
//! available, how idle the processors are, what the network carries.

use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI, KernelStats, Meminfo, ProcError, net};

/// Averages since the sample before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadSample {
    /// Available memory, kB (m_i).
    pub mem_available_kb: u64,
    /// Idle share of all processors together, 0 to 100 (c_i).
    pub cpu_idle_percent: f64,
    /// Sent and received on the LAN device, kB/s (n_i).
    pub net_kb_per_s: f64,
}

/// What does not change while the machine runs; bounds of the predicted load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Physical memory, kB.
    pub mem_total_kb: u64,
    /// Processors (C_cor).
    pub cores: u32,
}

/// Counters since boot.
#[derive(Debug, Clone, Copy)]
struct Counters {
    at: Instant,
    idle_ticks: u64,
    all_ticks: u64,
    bytes: u64,
}

/// Measures from one call to the next.
#[derive(Debug)]
pub struct Sampler {
    device: String,
    before: Counters,
}

impl Sampler {
    /// Starts to measure; `device` is the LAN device.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn start(device: &str) -> Result<Self, ProcError> {
        Ok(Self {
            device: device.to_owned(),
            before: counters(device)?,
        })
    }

    /// The load since the last call. A device that is not there carries nothing.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn sample(&mut self) -> Result<LoadSample, ProcError> {
        let memory = Meminfo::current()?;
        let now = counters(&self.device)?;
        let before = std::mem::replace(&mut self.before, now);
        Ok(LoadSample {
            mem_available_kb: memory.mem_available.unwrap_or(memory.mem_free) / 1024,
            cpu_idle_percent: idle_percent(before, now),
            net_kb_per_s: kb_per_s(
                now.bytes.saturating_sub(before.bytes),
                now.at.saturating_duration_since(before.at),
            ),
        })
    }
}

/// Memory and processors of this machine.
///
/// # Errors
/// When /proc cannot be read.
pub fn capacity() -> Result<Capacity, ProcError> {
    let mem_total_kb = Meminfo::current()?.mem_total / 1024;
    let cores = KernelStats::current()?.cpu_time.len().max(1) as u32;
    Ok(Capacity {
        mem_total_kb,
        cores,
    })
}

fn counters(device: &str) -> Result<Counters, ProcError> {
    let total = KernelStats::current()?.total;
    let idle_ticks = total.idle + total.iowait.unwrap_or(0);
    let busy_ticks = total.user
        + total.nice
        + total.system
        + total.irq.unwrap_or(0)
        + total.softirq.unwrap_or(0)
        + total.steal.unwrap_or(0);
    let bytes = net::dev_status()?
        .get(device)
        .map_or(0, |status| status.recv_bytes + status.sent_bytes);
    Ok(Counters {
        at: Instant::now(),
        idle_ticks,
        all_ticks: idle_ticks + busy_ticks,
        bytes,
    })
}

fn idle_percent(before: Counters, now: Counters) -> f64 {
    let all = now.all_ticks.saturating_sub(before.all_ticks);
    if all == 0 {
        // Too soon to tell; an idle machine is the common case.
        return 100.0;
    }
    let idle = now.idle_ticks.saturating_sub(before.idle_ticks);
    (idle as f64 / all as f64 * 100.0).min(100.0)
}

fn kb_per_s(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() {
        0.0
    } else {
        bytes as f64 / 1024.0 / time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: Instant, seconds: u64, idle_ticks: u64, all_ticks: u64) -> Counters {
        let at = base + Duration::from_secs(seconds);
        Counters {
            at,
            idle_ticks,
            all_ticks,
            bytes: 0,
        }
    }

    #[test]
    fn idle_share_of_all_processors() {
        let base = Instant::now();
        let before = at(base, 0, 1000, 2000);
        assert_eq!(idle_percent(before, at(base, 1, 1150, 2200)), 75.0);
        assert_eq!(idle_percent(before, before), 100.0);
        // The kernel's idle counter may run back a little.
        assert_eq!(idle_percent(before, at(base, 1, 990, 2200)), 0.0);
    }

    #[test]
    fn network_is_per_second() {
        assert_eq!(kb_per_s(10 * 1024, Duration::from_secs(5)), 2.0);
        assert_eq!(kb_per_s(10, Duration::ZERO), 0.0);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let mut sampler = Sampler::start("lo").unwrap();
        let sample = sampler.sample().unwrap();
        let capacity = capacity().unwrap();
        assert!(capacity.cores >= 1);
        assert!(
            (1..=capacity.mem_total_kb).contains(&sample.mem_available_kb),
            "{sample:?}"
        );
        assert!(
            (0.0..=100.0).contains(&sample.cpu_idle_percent),
            "{sample:?}"
        );
        assert!(sample.net_kb_per_s >= 0.0, "{sample:?}");
    }
}
