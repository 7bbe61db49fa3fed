//! How things look in the picture: colours, places within a lane, widths of words.

use super::model::Kind;

/// Offsets and heights within a lane.
pub(super) const MODE: (f64, f64) = (8.0, 17.0);
const JOB: (f64, f64) = (27.0, 11.0);

pub(in crate::report) const INK: &str = "#1f2933";
pub(in crate::report) const FAINT: &str = "#7b8794";
/// Colours of the VIPs of the first, second ... target.
pub(in crate::report) const VIPS: [&str; 4] = ["#e8590c", "#1971c2", "#9c36b5", "#2b8a3e"];
pub(super) const OK: &str = "#51cf66";
pub(super) const XX: &str = "#e03131";

impl Kind {
    /// Fill and the legend's words.
    pub(super) fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Trouble => ("url(#off)", "in trouble"),
            Self::Network => ("#74c0fc", "network examination"),
            Self::Service => ("#ffd43b", "service recovery"),
            Self::Backup => ("#b197fc", "backup server"),
            Self::Target => ("#96f2d7", "target server recovery"),
            Self::P2Wait => ("#dee2e6", "P2 waits"),
            Self::Job => ("#c5d2dc", "background job"),
            Self::VmStart => ("#ffc9a3", "backup VM starts"),
            Self::VmServe => ("#ff9d57", "backup VM serves"),
        }
    }

    /// Place within the lane.
    pub(super) fn place(self) -> (f64, f64) {
        match self {
            Self::Job | Self::VmStart | Self::VmServe => JOB,
            _ => MODE,
        }
    }
}

/// About how wide a text is, in pixels.
#[allow(clippy::cast_precision_loss, reason = "labels are short")]
pub(in crate::report) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.56
}
