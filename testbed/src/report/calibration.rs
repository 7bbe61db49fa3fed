//! What our machines are like: the figures that the paper's Table 3 gives for its own.
//!
//! They are measured once, when a lab is prepared, and kept beside the saved lab as
//! `calibration.json`. The analytical column of every report stands on them, so they
//! must not come from the run that it is compared with.

use super::analytical::Characteristics;
use super::paper::Paper;
use ringward::cluster::Activation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Version of the file's layout.
const SCHEMA: u32 = 3;

/// `calibration.json`; all times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Layout of the file.
    pub schema: u32,
    /// Network examination of a server that is connected.
    #[serde(default)]
    pub network_exam: Option<f64>,
    /// By server.
    pub servers: BTreeMap<String, ServerTimes>,
}

/// Times of one server; `None` where it was not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTimes {
    /// T_ts: power on until its function is at home, when its service and its agent work again.
    pub start: Option<f64>,
    /// T_tr: restart command until the same.
    pub restart: Option<f64>,
    /// T_se: one examination of its service, when healthy.
    pub service_exam: Option<f64>,
    /// T_v of its backup VM, until its services answer, when loaded and paused on the host.
    pub activation_standby: Option<f64>,
    /// The same when restored from the share.
    pub activation_restore: Option<f64>,
    /// Its start until its services answer, when it is booted instead of resumed.
    pub vm_cold_start: Option<f64>,
}

/// Why a calibration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The system refused.
    #[error("reading or writing {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not what this version writes.
    #[error("{path} is no calibration of schema {SCHEMA}; run with --fresh to measure again")]
    Content {
        /// The file.
        path: String,
        /// What is wrong, if it is not the schema's number.
        source: Option<serde_json::Error>,
    },
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            network_exam: None,
            servers: BTreeMap::new(),
        }
    }
}

impl Calibration {
    /// T_v of the server's backup VM, activated this way.
    #[must_use]
    pub fn activation(&self, server: &str, way: Activation) -> Option<f64> {
        let times = self.servers.get(server)?;
        match way {
            Activation::Standby => times.activation_standby,
            Activation::Restore => times.activation_restore,
        }
    }

    /// What the equations need about `server`. `t_v_in_log` stands in for a T_v that was not
    /// measured beforehand. What is not known is NaN, and so is every result that needs it.
    #[must_use]
    pub fn characteristics(
        &self,
        server: &str,
        way: Activation,
        t_v_in_log: Option<f64>,
    ) -> Characteristics {
        let times = self.servers.get(server).copied().unwrap_or_default();
        let t_v = self.activation(server, way).or(t_v_in_log);
        Characteristics {
            t_ts: times.start.unwrap_or(f64::NAN),
            t_tr: times.restart.unwrap_or(f64::NAN),
            t_se: times.service_exam.unwrap_or(f64::NAN),
            t_v: t_v.unwrap_or(f64::NAN),
        }
    }

    /// How many times as long as the paper's our machines take to start or restart, in quarters; 1 when they
    /// are as fast or it was not measured. The paper's timings, such as how long a service may take for an
    /// answer, are for its machines: all are given that many times as much.
    #[must_use]
    pub fn stretch(&self, paper: &Paper) -> f64 {
        let table3 = &paper.table3;
        let ratios = self.servers.values().flat_map(|ours| {
            let start = ours.start.map(|t_ts| t_ts / table3.t_ts);
            start
                .into_iter()
                .chain(ours.restart.map(|t_tr| t_tr / table3.t_tr))
        });
        (ratios.fold(1.0, f64::max) * 4.0).ceil() / 4.0
    }

    /// The stretch in words, when there is one.
    #[must_use]
    pub fn stretched(&self, paper: &Paper) -> Option<String> {
        let times = self.stretch(paper);
        let (t_ts, t_tr) = (paper.table3.t_ts, paper.table3.t_tr);
        (times > 1.0).then(|| {
            format!(
                "All timings are {times} times the profile's, since our machines take that much longer to start or \
                 restart than the paper's (T_ts {t_ts}, T_tr {t_tr})."
            )
        })
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// When it cannot be read or has another layout.
    pub fn read(path: &Path) -> Result<Self, CalibrationError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| CalibrationError::Io {
            path: name(),
            source,
        })?;
        let read: Self =
            serde_json::from_str(&text).map_err(|source| CalibrationError::Content {
                path: name(),
                source: Some(source),
            })?;
        match read.schema {
            SCHEMA => Ok(read),
            _ => Err(CalibrationError::Content {
                path: name(),
                source: None,
            }),
        }
    }

    /// What is kept in `path`; an empty calibration if nothing is yet.
    ///
    /// # Errors
    /// As those of [`Calibration::read`], except that the file need not be there.
    pub fn kept(path: &Path) -> Result<Self, CalibrationError> {
        match Self::read(path) {
            Err(CalibrationError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(Self::default())
            }
            read => read,
        }
    }

    /// Writes `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CalibrationError> {
        let name = || path.display().to_string();
        let text =
            serde_json::to_string_pretty(self).map_err(|source| CalibrationError::Content {
                path: name(),
                source: Some(source),
            })?;
        std::fs::write(path, text + "\n").map_err(|source| CalibrationError::Io {
            path: name(),
            source,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A lab whose FTP server was measured whole.
    pub(crate) fn calibration() -> Calibration {
        let times = ServerTimes {
            start: Some(21.4),
            restart: Some(25.1),
            service_exam: Some(0.12),
            activation_standby: Some(0.84),
            activation_restore: Some(4.4),
            vm_cold_start: None,
        };
        Calibration {
            servers: [("ftp".to_owned(), times)].into(),
            ..Calibration::default()
        }
    }

    #[test]
    fn it_comes_back_as_written_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calibration.json");
        calibration().write(&path).unwrap();
        assert_eq!(Calibration::read(&path).unwrap(), calibration());
        std::fs::write(&path, r#"{"schema": 0, "servers": {}}"#).unwrap();
        assert!(
            Calibration::read(&path)
                .unwrap_err()
                .to_string()
                .contains("--fresh")
        );
        let none = dir.path().join("none");
        assert!(Calibration::read(&none).is_err());
        assert_eq!(Calibration::kept(&none).unwrap(), Calibration::default());
        assert!(Calibration::kept(&path).is_err(), "another layout");
    }

    #[test]
    fn timings_are_stretched_for_machines_slower_than_the_papers_only() {
        let paper = Paper::load().unwrap();
        let mut slow = calibration();
        assert_eq!(slow.stretch(&paper), 1.0);
        assert_eq!(slow.stretched(&paper), None);
        assert_eq!(Calibration::default().stretch(&paper), 1.0);
        let ftp = slow.servers.get_mut("ftp").unwrap();
        (ftp.start, ftp.restart) = (Some(84.12), None);
        assert_eq!(slow.stretch(&paper), 1.5);
        insta::assert_snapshot!(slow.stretched(&paper).unwrap(), @"All timings are 1.5 times the profile's, since our machines take that much longer to start or restart than the paper's (T_ts 56.67, T_tr 58.51).");
    }

    #[test]
    fn what_was_not_measured_is_not_a_number() {
        let mut calibration = calibration();
        let t_v = |c: &Calibration| c.characteristics("ftp", Activation::Standby, Some(9.0)).t_v;
        assert_eq!(t_v(&calibration), 0.84);
        let ftp = calibration.servers.get_mut("ftp").unwrap();
        (ftp.activation_standby, ftp.restart) = (None, None);
        assert_eq!(t_v(&calibration), 9.0);
        let ftp = calibration.characteristics("ftp", Activation::Standby, None);
        assert!(ftp.t_v.is_nan() && ftp.t_tr.is_nan() && ftp.t_se == 0.12);
    }
}
