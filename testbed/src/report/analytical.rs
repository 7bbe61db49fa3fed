//! The paper's model of recovery times: equations (10) to (18) of section 4.3.
//!
//! Every function is pure and takes and gives seconds. The same functions produce the column
//! "paper analytical" (with Table 3) and "ours analytical" (with what was measured on the lab),
//! so that a difference between the two is a difference between machines, never between models.

use crate::experiment::spec::TroubleKind;
use serde::{Deserialize, Serialize};

/// Settings that enter the equations (Table 3, "Setting parameters"), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Inter-monitoring time.
    pub t_im: f64,
    /// Network examination time of a disconnected server.
    pub t_nd: f64,
    /// Longest wait for an answer of a service.
    pub t_sw: f64,
    /// Longest time to judge whether a server is restarting, about 1.5 T_tr.
    pub t_rc: f64,
}

/// Properties of the machines that enter the equations (Table 3, "Characteristics"), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Characteristics {
    /// Start of a server: power on until it can take its function back.
    pub t_ts: f64,
    /// Restart of a server: command until the same.
    pub t_tr: f64,
    /// One examination of the healthy service.
    pub t_se: f64,
    /// Activation of the suspended backup VM.
    pub t_v: f64,
}

/// Everything that equations (10)-(18) need.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// What the operator chose.
    #[serde(flatten)]
    pub settings: Settings,
    /// What the machines are like.
    #[serde(flatten)]
    pub characteristics: Characteristics,
}

/// A value the equation gives as `value ± plus_minus`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Middle of the range.
    pub value: f64,
    /// Half width of the range; 0 where the equation gives a single value.
    pub plus_minus: f64,
}

/// The three recovery times of one trouble (one row of Fig. 13), in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Recovery of the function by the backup VM; `None` for St1, which needs none.
    pub function: Option<f64>,
    /// Recovery of the target server.
    pub target: f64,
    /// Access disconnection seen by a client.
    pub disconnection: Span,
}

/// Equation (10): T_s2f = T_sw + T_v.
#[must_use]
pub fn t_s2f(p: &Parameters) -> f64 {
    p.settings.t_sw + p.characteristics.t_v
}

/// Equation (11): T_n1f = T_n2f = T_nd + T_v.
#[must_use]
pub fn t_nf(p: &Parameters) -> f64 {
    p.settings.t_nd + p.characteristics.t_v
}

/// Equation (12): T_s1t = T_se.
#[must_use]
pub fn t_s1t(p: &Parameters) -> f64 {
    p.characteristics.t_se
}

/// Equation (13): T_s2t = T_sw + T_tr + T_se.
#[must_use]
pub fn t_s2t(p: &Parameters) -> f64 {
    p.settings.t_sw + p.characteristics.t_tr + p.characteristics.t_se
}

/// Equation (14): T_n1t = T_tr + T_se - (T_im / 2 + T_nd), for trouble at T_im / 2: the restart
/// runs for that long before the trouble is detected.
#[must_use]
pub fn t_n1t(p: &Parameters) -> f64 {
    p.characteristics.t_tr + p.characteristics.t_se - (p.settings.t_im / 2.0 + p.settings.t_nd)
}

/// Equation (15): T_n2t = T_nd + T_rc + T_ts + T_se.
#[must_use]
pub fn t_n2t(p: &Parameters) -> f64 {
    p.settings.t_nd + p.settings.t_rc + p.characteristics.t_ts + p.characteristics.t_se
}

/// Equation (16): T_s1c = T_s1t + T_im / 2 ± T_im / 2.
#[must_use]
pub fn t_s1c(p: &Parameters) -> Span {
    within_interval(p, t_s1t(p))
}

/// Equation (17): T_s2c = T_s2f + T_im / 2 ± T_im / 2.
#[must_use]
pub fn t_s2c(p: &Parameters) -> Span {
    within_interval(p, t_s2f(p))
}

/// Equation (18): T_n1c = T_n2c = T_nd + T_n1f + T_im / 2 ± T_im / 2. The first T_nd is the
/// examination that detects the trouble.
#[must_use]
pub fn t_nc(p: &Parameters) -> Span {
    within_interval(p, p.settings.t_nd + t_nf(p))
}

/// `base + T_im / 2 ± T_im / 2`: a client's loss begins anywhere between two examinations.
fn within_interval(p: &Parameters, base: f64) -> Span {
    let half = p.settings.t_im / 2.0;
    Span {
        value: base + half,
        plus_minus: half,
    }
}

/// One row of Fig. 13 by the equations.
#[must_use]
pub fn recovery(trouble: TroubleKind, p: &Parameters) -> Recovery {
    let (function, target, disconnection) = match trouble {
        TroubleKind::St1 => (None, t_s1t(p), t_s1c(p)),
        TroubleKind::St2 => (Some(t_s2f(p)), t_s2t(p), t_s2c(p)),
        TroubleKind::Nt1 => (Some(t_nf(p)), t_n1t(p), t_nc(p)),
        // For the managers they are the same.
        TroubleKind::Nt2 | TroubleKind::Cut | TroubleKind::Dead | TroubleKind::Freeze => {
            (Some(t_nf(p)), t_n2t(p), t_nc(p))
        }
    };
    Recovery {
        function,
        target,
        disconnection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::paper::Paper;

    /// Table 3 put into the equations gives Fig. 13's analytical column to its two decimals.
    #[test]
    fn equations_reproduce_fig13() {
        let paper = Paper::load().unwrap();
        let p = paper.parameters("ftp").unwrap();
        for trouble in TroubleKind::PAPER {
            let row = paper.fig13(trouble).unwrap();
            let ours = recovery(trouble, &p);
            let same = |a: f64, b: f64| assert!((a - b).abs() < 0.005, "{trouble}: {a} {b}");
            assert_eq!(ours.function.is_some(), row.function.is_some(), "{trouble}");
            if let (Some(a), Some(b)) = (ours.function, row.function) {
                same(a, b.analytical);
            }
            same(ours.target, row.target.analytical);
            same(ours.disconnection.value, row.disconnection.analytical);
            same(ours.disconnection.plus_minus, row.disconnection.plus_minus);
        }
    }
}
