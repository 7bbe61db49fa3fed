//! The time axis: even, but for quiet stretches, which are cut short.
//!
//! A recovery of the function takes seconds, the restart of its server minutes in which nothing
//! is logged. On an even axis the first would be a few pixels wide.

/// A stretch without anything to show is cut when it is longer than this, in seconds.
const QUIET_S: f64 = 9.0;
/// What is left of it on either side of the cut, in seconds.
const MARGIN_S: f64 = 2.0;
/// Width of a cut, in pixels.
const CUT_PX: f64 = 44.0;

/// A piece of the axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: f64,
    to: f64,
    x: f64,
    width: f64,
    cut: bool,
}

/// Maps seconds to pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pieces: Vec<Piece>,
}

impl Axis {
    /// An axis from `from` to `to` seconds between the pixels `left` and `right`. Around `busy`
    /// moments it is never cut.
    pub(super) fn new(from: f64, to: f64, busy: &[f64], left: f64, right: f64) -> Self {
        let mut moments: Vec<f64> = busy
            .iter()
            .copied()
            .filter(|t| (from..=to).contains(t))
            .chain([from, to])
            .collect();
        moments.sort_by(f64::total_cmp);
        let mut bounds = Vec::new();
        let mut start = from;
        for pair in moments.windows(2) {
            if pair[1] - pair[0] > QUIET_S {
                let (a, b) = (pair[0] + MARGIN_S, pair[1] - MARGIN_S);
                bounds.extend([(start, a, false), (a, b, true)]);
                start = b;
            }
        }
        bounds.push((start, to, false));

        let cuts = bounds.iter().filter(|(_, _, cut)| *cut).count();
        let shown: f64 = bounds.iter().filter(|b| !b.2).map(|(a, b, _)| b - a).sum();
        // Few enough to count exactly.
        #[allow(clippy::cast_precision_loss)]
        let per_second = (right - left - cuts as f64 * CUT_PX).max(1.0) / shown.max(1e-3);
        let mut x = left;
        let pieces = bounds
            .into_iter()
            .map(|(from, to, cut)| {
                let width = if cut {
                    CUT_PX
                } else {
                    (to - from) * per_second
                };
                let piece = Piece {
                    from,
                    to,
                    x,
                    width,
                    cut,
                };
                x += width;
                piece
            })
            .collect();
        Self { pieces }
    }

    /// The pixel of a moment; moments outside lie on the edge.
    pub(super) fn x(&self, t: f64) -> f64 {
        let piece = self
            .pieces
            .iter()
            .find(|piece| t <= piece.to)
            .or(self.pieces.last());
        piece.map_or(0.0, |p| {
            let part = if p.to > p.from {
                (t - p.from) / (p.to - p.from)
            } else {
                0.0
            };
            p.x + part.clamp(0.0, 1.0) * p.width
        })
    }

    /// The cuts: pixels of both sides and the seconds left out.
    pub(super) fn cuts(&self) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        self.pieces
            .iter()
            .filter(|piece| piece.cut)
            .map(|p| (p.x, p.x + p.width, p.to - p.from))
    }

    /// Whole seconds to label, `step` apart, none inside a cut.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let shown = |p: &&Piece| !p.cut;
        let scale = self
            .pieces
            .iter()
            .find(shown)
            .map_or(1.0, |p| p.width / (p.to - p.from));
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 60.0]
            .into_iter()
            .find(|step| step * scale >= 36.0)
            .unwrap_or(120.0);
        let mut ticks = Vec::new();
        for piece in self.pieces.iter().filter(shown) {
            let mut tick = (piece.from / step).ceil() * step;
            while tick <= piece.to {
                ticks.push(tick);
                tick += step;
            }
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_is_even() {
        let axis = Axis::new(-2.0, 8.0, &[0.0, 5.0], 100.0, 200.0);
        assert_eq!(
            (axis.x(-2.0), axis.x(3.0), axis.x(8.0)),
            (100.0, 150.0, 200.0)
        );
        assert_eq!((axis.x(-9.0), axis.x(99.0)), (100.0, 200.0));
        assert_eq!(axis.cuts().count(), 0);
    }

    #[test]
    fn a_quiet_stretch_is_cut_and_order_is_kept() {
        let axis = Axis::new(0.0, 100.0, &[10.0, 90.0, 95.0], 0.0, 1000.0);
        let cuts: Vec<_> = axis.cuts().collect();
        assert_eq!(cuts.len(), 2);
        assert_eq!(cuts[1].2, 76.0);
        let xs: Vec<f64> = (0..=100).map(|t| axis.x(f64::from(t))).collect();
        assert!(xs.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((xs[100] - 1000.0).abs() < 1e-6);
        assert!(axis.ticks().iter().all(|t| *t <= 12.0 || *t >= 88.0));
    }
}
