//! The paper's own figures, read from `testbed/paper.toml`, the one place that holds them.

use crate::experiment::spec::{Strike, TroubleKind};
use crate::report::analytical::{Characteristics, Parameters, Settings};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Text of `testbed/paper.toml`, compiled in so that a report never lacks its first column.
const TEXT: &str = include_str!("../../paper.toml");

/// Every figure that the reports print beside ours.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Table 3: characteristics and settings of the paper's experimental system.
    pub table3: Table3,
    /// Fig. 13: recovery times for trouble on one server.
    pub fig13: Vec<Fig13>,
    /// Fig. 14: for trouble on two servers at the same moment.
    pub fig14: Vec<Fig14>,
    /// Fig. 15: for three neighbours that are shut down.
    pub fig15: Vec<Fig15>,
    /// Fig. 16: activation on a server under load.
    pub fig16: Fig16,
}

/// Table 3 of the paper, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table3 {
    /// Start time of a server.
    pub t_ts: f64,
    /// Restart time of a server.
    pub t_tr: f64,
    /// Network examination of a healthy server.
    pub network_exam_ok: f64,
    /// Activation of a suspended virtual server.
    pub t_v: f64,
    /// Start of a virtual server that was not suspended.
    pub vm_cold_start: f64,
    /// Inter-monitoring time.
    pub t_im: f64,
    /// Network examination time when disconnected.
    pub t_nd: f64,
    /// Maximum waiting time for a service examination.
    pub t_sw: f64,
    /// Maximum time to judge whether a server is restarting.
    pub t_rc: f64,
    /// Service examination time by kind of server.
    pub service_exam: BTreeMap<String, f64>,
}

/// One row of Fig. 13.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fig13 {
    /// Which trouble.
    pub trouble: TroubleKind,
    /// Recovery time of the server function; St1 needs no virtual server and has none.
    pub function: Option<Figure>,
    /// Recovery time of the target server.
    pub target: Figure,
    /// Access disconnection time of the client.
    pub disconnection: Figure,
}

/// One of the nine pairs of troubles in Fig. 14. Of each server: recovery of its function, and of
/// that the activation of its virtual server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fig14 {
    /// What befalls FTP.
    pub ftp: TroubleKind,
    /// What befalls Web 1.
    pub web1: TroubleKind,
    /// FTP's times.
    pub ftp_function: [f64; 2],
    /// Web 1's times.
    pub web1_function: [f64; 2],
}

/// One of the three servers of Fig. 15, which stand next to each other in this order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fig15 {
    /// Which.
    pub server: String,
    /// Recovery of its function.
    pub function: f64,
    /// Of that the activation of its virtual server.
    pub activation: f64,
    /// Access disconnection of the client.
    pub disconnection: f64,
}

/// Fig. 16: activation of a backup VM on a server under load, in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fig16 {
    /// Without load.
    pub none: f64,
    /// Under 50 downloads.
    pub downloads: f64,
    /// Under 50 uploads.
    pub uploads: f64,
    /// Under 50 programs that draw random numbers.
    pub jobs: f64,
}

/// A measured figure with the analytical one beside it, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What the paper measured.
    pub measured: f64,
    /// What the paper's equation gives.
    pub analytical: f64,
    /// Half width of the analytical range, where the equation has one.
    #[serde(default)]
    pub plus_minus: f64,
}

/// What the paper measured of one server in an experiment of its own, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Beside {
    /// Recovery of the server function.
    pub function: Option<f64>,
    /// Recovery of the target server.
    pub target: Option<f64>,
    /// Access disconnection.
    pub disconnection: Option<f64>,
    /// Activation of the backup VM.
    pub activation: Option<f64>,
}

impl Paper {
    /// The figures to lay beside those of `server`, if the paper has an experiment with just these
    /// troubles.
    #[must_use]
    pub fn beside(&self, strikes: &[Strike], server: &str) -> Beside {
        let of = |name: &str| {
            let mut strikes = strikes.iter();
            Some(strikes.find(|strike| strike.server == name)?.trouble)
        };
        match strikes.len() {
            1 if server == "ftp" => {
                let figures = of("ftp").and_then(|trouble| self.fig13(trouble));
                Beside {
                    function: figures.and_then(|f| f.function).map(|f| f.measured),
                    target: figures.map(|f| f.target.measured),
                    disconnection: figures.map(|f| f.disconnection.measured),
                    activation: Some(self.table3.t_v),
                }
            }
            2 => {
                let pair = of("ftp").zip(of("web1"));
                let mut pairs = self.fig14.iter();
                let figures = pairs.find(|f| Some((f.ftp, f.web1)) == pair);
                let figures = figures.map(|f| match server {
                    "ftp" => f.ftp_function,
                    _ => f.web1_function,
                });
                Beside {
                    function: figures.map(|[function, _]| function),
                    activation: figures.map(|[_, activation]| activation),
                    ..Beside::default()
                }
            }
            3 if self
                .fig15
                .iter()
                .all(|f| of(&f.server) == Some(TroubleKind::Nt2)) =>
            {
                let figures = self.fig15.iter().find(|f| f.server == server);
                Beside {
                    function: figures.map(|f| f.function),
                    disconnection: figures.map(|f| f.disconnection),
                    activation: figures.map(|f| f.activation),
                    ..Beside::default()
                }
            }
            _ => Beside::default(),
        }
    }

    /// Reads the built-in figures.
    ///
    /// # Errors
    /// When `testbed/paper.toml` was edited into something that is not what [`Paper`] expects;
    /// the message carries line and column.
    pub fn load() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// Fig. 13's row for `trouble`.
    #[must_use]
    pub fn fig13(&self, trouble: TroubleKind) -> Option<&Fig13> {
        self.fig13.iter().find(|row| row.trouble == trouble)
    }

    /// T_se of the server `name`. Servers of one kind share a figure (`web1` and `web2` are `web`).
    #[must_use]
    pub fn service_exam(&self, name: &str) -> Option<f64> {
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        self.table3.service_exam.get(kind).copied()
    }

    /// The parameters of equations (10)-(18) on the paper's machines for the server `name`.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Option<Parameters> {
        let t = &self.table3;
        Some(Parameters {
            settings: Settings {
                t_im: t.t_im,
                t_nd: t.t_nd,
                t_sw: t.t_sw,
                t_rc: t.t_rc,
            },
            characteristics: Characteristics {
                t_ts: t.t_ts,
                t_tr: t.t_tr,
                t_se: self.service_exam(name)?,
                t_v: t.t_v,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_figures_parse_and_cover_fig13() {
        let paper = Paper::load().unwrap();
        for trouble in TroubleKind::PAPER {
            assert!(paper.fig13(trouble).is_some(), "{trouble}");
        }
        assert!(paper.fig13(TroubleKind::St1).unwrap().function.is_none());
        assert_eq!((paper.fig14.len(), paper.fig15.len()), (9, 3));
    }

    #[test]
    fn both_web_servers_use_the_web_figure() {
        let paper = Paper::load().unwrap();
        let exam = |name| paper.parameters(name).map(|p| p.characteristics.t_se);
        assert_eq!(exam("web2"), Some(1.59));
        assert_eq!(exam("ftp"), Some(0.06));
        assert_eq!(exam("dns"), None);
    }
}
