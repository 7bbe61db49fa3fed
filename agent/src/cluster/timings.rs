//! Every time-out and interval, in two profiles.
//!
//! `paper` is Table 3 of the paper; `fast` finds and repairs in about a fifth of the time, for
//! a network without congestion. Each field says its formula, its unit (all are seconds in
//! `cluster.toml`, [`Duration`] here) and what raising or lowering it costs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A set of timings to start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Table 3 of the paper.
    #[default]
    Paper,
    /// About five times as quick.
    Fast,
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "paper" => Ok(Self::Paper),
            "fast" => Ok(Self::Fast),
            _ => Err(format!("{text:?} is no profile (paper or fast)")),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Paper => "paper",
            Self::Fast => "fast",
        })
    }
}

macro_rules! timings {
    ($( $(#[$doc:meta])* $name:ident: paper $paper:literal, fast $fast:literal; )*) => {
        /// The timings in force.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Timings { $( $(#[$doc])* pub $name: Duration, )* }

        /// What `[timings]` of `cluster.toml` may set, in seconds.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct TimingsOverride {
            $(
                #[doc = concat!("See [`Timings::", stringify!($name), "`].")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<f64>,
            )*
        }

        impl Timings {
            /// The timings of a profile.
            pub fn profile(profile: Profile) -> Self {
                let pick = |paper, fast| Duration::from_secs_f64(match profile {
                    Profile::Paper => paper,
                    Profile::Fast => fast,
                });
                Self { $( $name: pick($paper, $fast), )* }
            }

            /// Puts the given seconds in place of the profile's; then checks what must hold
            /// between them. The error names the setting.
            pub fn with(mut self, over: &TimingsOverride) -> Result<Self, String> {
                $(
                    if let Some(value) = over.$name {
                        self.$name = seconds(stringify!($name), value)?;
                    }
                )*
                self.check()?;
                Ok(self)
            }

            /// All of them `times` as long, as `[timings]` may have them: for machines that are that
            /// much slower.
            pub fn stretched(&self, times: f64) -> TimingsOverride {
                TimingsOverride { $( $name: Some(self.$name.as_secs_f64() * times), )* }
            }
        }
    };
}

timings! {
    /// T_im, time between two examinations of a target. A fault is found T_im / 2 later on
    /// average; each server sends two examinations per T_im.
    t_im: paper 10.0, fast 2.0;
    /// T_nd, how long a ping may take before the network counts as disconnected. Two in a row
    /// must fail, so a false alarm needs an outage of 2 T_nd; recovery takes T_nd + T_v.
    t_nd: paper 2.0, fast 0.5;
    /// T_sw, how long a service may take for an answer when it is examined. Must be above the slowest
    /// healthy one (T_se); a hanging service is found that much later. An examination of several answers
    /// may take three times as long: what is slow is not failed.
    t_sw: paper 3.0, fast 2.0;
    /// T_rc, how long a silent target may be restarting by itself before wake-on-LAN:
    /// 1.5 x T_tr, the restart time. Shorter wakes a stopped machine sooner, but may cut
    /// a slow restart short.
    t_rc: paper 88.0, fast 30.0;
    /// How long a woken or restarted target may take until its service answers: about
    /// 2 x T_ts, the start time. After that it counts as not recoverable (D).
    t_up: paper 120.0, fast 60.0;
    /// How long restarting the service programs may take. A restart that hangs delays the
    /// backup server by this.
    t_sr: paper 5.0, fast 3.0;
    /// How long a host may take from the order to activate a backup VM until its VIP is set
    /// or it reports failure; several times T_v. Then the next host is tried.
    t_va: paper 30.0, fast 15.0;
    /// How long a peer may take to say whether it sees a target: T_nd for its own ping and a
    /// round trip. Claims wait for it only when the peer does not answer.
    t_cf: paper 2.5, fast 0.8;
    /// How often P2 examines P1, jobs examine their target, and `Wait` is logged.
    t_wait: paper 1.0, fast 0.5;
    /// How often a server looks on the share whether its function was claimed. At most half of
    /// `self_ttl`: one look that fails is given up `self_ttl` / 3 after it began and made again at
    /// once, so that two are made while the last good one still counts.
    read_every: paper 1.0, fast 0.25;
    /// How often the host of a backup VM asks for its grant, and twice as often who runs short of
    /// one. Several must fit into `grant_ttl`, or one that is lost drops a healthy VIP.
    grant_every: paper 1.0, fast 0.25;
    /// How long a grant is good for, counted from when the holder asked. At most 2 x T_nd, so
    /// that waiting for old grants costs nothing; shorter drops VIPs on short hiccups.
    grant_ttl: paper 4.0, fast 1.0;
    /// How long a grant for a backup VM is good for. Longer than `grant_ttl`, because each renewal
    /// goes through the guest; a lost host of a VM is replaced that much later.
    vm_ttl: paper 10.0, fast 4.0;
    /// How long a holder may go by its own reading of the share, counted from the start of
    /// the reading. Little more than T_nd: of that a claimant spends half on its second examination,
    /// and the rest on T_v, so that waiting for this costs little. Kernels count lifetimes in whole
    /// seconds: of less than two, one is left, and a look that is late drops a healthy VIP.
    self_ttl: paper 2.5, fast 0.625;
    /// How late the node's own tick may be before running examinations are thrown away, and bad
    /// ones are not believed for T_sw: a frozen or starved manager must not judge others. Below
    /// T_nd; much lower, and a busy manager never finishes an examination.
    late: paper 1.5, fast 0.4;
    /// How long a recovered target must stay healthy before its function goes home. The
    /// paper goes home at once; a repeated fault adds `hold_down`.
    t_home: paper 0.0, fast 0.0;
    /// Added to `t_home` after the second fault of a target within `flap`, doubled with each
    /// further one, so that a server that comes and goes does not drag its function along.
    hold_down: paper 30.0, fast 10.0;
    /// How long a fault is remembered for `hold_down`.
    flap: paper 600.0, fast 120.0;
    /// How long all functions must have been at home, or given up, without a new claim before golden
    /// states are loaded. Loading takes from the file server and the host what a recovery may need;
    /// until then a second fault is recovered from the share, in T_v of `restore`.
    standby_calm: paper 60.0, fast 12.0;
    /// How long placement must favour another host before a standby moves there. Loading a
    /// golden state costs share traffic and memory, so short swings are ignored.
    standby_move: paper 60.0, fast 20.0;
}

fn seconds(name: &str, value: f64) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if value <= 86_400.0 => Ok(duration),
        _ => Err(format!(
            "{name} = {value}: expected seconds, from 0 to 86400"
        )),
    }
}

/// How many T_sw an examination may take as a whole, if each answer comes within one.
pub const PATIENCE: u32 = 3;

impl Timings {
    /// The longest that an examination of network and services can take.
    pub fn longest_examination(&self) -> Duration {
        self.t_nd + PATIENCE * self.t_sw
    }

    /// How long a look at the share of `read_every` may take.
    pub fn read_within(&self) -> Duration {
        self.self_ttl / 3
    }

    fn check(&self) -> Result<(), String> {
        let positive = [
            ("t_im", self.t_im),
            ("t_nd", self.t_nd),
            ("t_sw", self.t_sw),
            ("t_up", self.t_up),
            ("t_sr", self.t_sr),
            ("t_va", self.t_va),
            ("t_cf", self.t_cf),
            ("t_wait", self.t_wait),
            ("read_every", self.read_every),
            ("grant_every", self.grant_every),
            ("grant_ttl", self.grant_ttl),
            ("vm_ttl", self.vm_ttl),
            ("self_ttl", self.self_ttl),
            ("late", self.late),
        ];
        for (name, value) in positive {
            if value < Duration::from_millis(10) {
                return Err(format!(
                    "{name} = {}: expected 0.01 s or more",
                    value.as_secs_f64()
                ));
            }
        }
        let pairs = [
            (
                "grant_ttl",
                self.grant_ttl,
                "t_im + 2 t_nd",
                self.t_im + 2 * self.t_nd,
            ),
            (
                "2 read_every",
                2 * self.read_every,
                "self_ttl",
                self.self_ttl,
            ),
            (
                "2 grant_every",
                2 * self.grant_every,
                "grant_ttl",
                self.grant_ttl,
            ),
            ("self_ttl", self.self_ttl, "grant_ttl", self.grant_ttl),
            ("grant_ttl", self.grant_ttl, "vm_ttl", self.vm_ttl),
            ("t_nd", self.t_nd, "t_im", self.t_im),
        ];
        for (small, low, big, high) in pairs {
            if low > high {
                let (low, high) = (low.as_secs_f64(), high.as_secs_f64());
                return Err(format!(
                    "{small} = {low} s: expected at most {big} = {high} s"
                ));
            }
        }
        Ok(())
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::profile(Profile::Paper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_profiles_hold_together() {
        for profile in [Profile::Paper, Profile::Fast] {
            let timings = Timings::profile(profile);
            timings.check().unwrap();
            assert!(
                timings.grant_ttl <= 2 * timings.t_nd,
                "grants outlast the examinations"
            );
            assert!(2 * timings.self_ttl <= 3 * timings.t_nd);
        }
    }

    #[test]
    fn stretched_timings_hold_together() {
        let timings = Timings::default();
        for times in [1.0, 1.25, 3.0] {
            let stretched = timings.clone().with(&timings.stretched(times)).unwrap();
            assert_eq!(stretched.t_im, timings.t_im.mul_f64(times));
            assert_eq!(stretched.self_ttl, timings.self_ttl.mul_f64(times));
        }
    }

    #[test]
    fn overrides_are_checked() {
        let with = |over: TimingsOverride| Timings::default().with(&over);
        let t_rc = TimingsOverride {
            t_rc: Some(45.5),
            ..Default::default()
        };
        assert_eq!(with(t_rc).unwrap().t_rc, Duration::from_millis(45_500));
        let mut report = String::new();
        for bad in [
            TimingsOverride {
                t_im: Some(-1.0),
                ..Default::default()
            },
            TimingsOverride {
                t_sw: Some(f64::NAN),
                ..Default::default()
            },
            TimingsOverride {
                t_nd: Some(0.0),
                ..Default::default()
            },
            TimingsOverride {
                grant_ttl: Some(60.0),
                ..Default::default()
            },
            TimingsOverride {
                read_every: Some(2.0),
                ..Default::default()
            },
            TimingsOverride {
                grant_every: Some(3.0),
                ..Default::default()
            },
        ] {
            report.push_str(&format!("{}\n", with(bad).unwrap_err()));
        }
        insta::assert_snapshot!(report);
    }
}
