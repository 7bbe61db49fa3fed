//! Draws a [`Model`] as SVG: self-contained, readable on light and dark pages.

use super::axis::Axis;
use super::look::{FAINT, INK, MODE, OK, VIPS, XX, text_width};
use super::model::{Bar, Kind, Model, Scene};
use crate::report::access::Access;
use crate::report::result::escape;
use std::fmt::Write as _;

const WIDTH: f64 = 1280.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 1256.0;
/// Top of the first lane.
const TOP: f64 = 126.0;
const LANE: f64 = 58.0;
/// Offset and height of the VIP's line within a lane.
const VIP: (f64, f64) = (43.0, 5.0);
const CLIENT: f64 = 44.0;

/// A drawing under way.
struct Drawing<'a> {
    scene: &'a Scene<'a>,
    model: &'a Model,
    axis: Axis,
    svg: String,
}

/// The whole picture.
pub(super) fn draw(scene: &Scene<'_>, model: &Model) -> String {
    let (from, to) = model.window;
    let axis = Axis::new(from, to, &model.busy(), LEFT, RIGHT);
    let mut drawing = Drawing {
        scene,
        model,
        axis,
        svg: String::new(),
    };
    drawing.head();
    drawing.lanes();
    drawing.stays();
    drawing.bars();
    drawing.client();
    drawing.cuts();
    drawing.ticks();
    drawing.labels();
    drawing.arrows();
    drawing.marks();
    drawing.svg.push_str("</g></svg>\n");
    drawing.svg
}

impl Drawing<'_> {
    /// Adds a line of SVG. Writing to a string cannot fail.
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.svg.write_fmt(text);
        self.svg.push('\n');
    }

    #[allow(clippy::cast_precision_loss, reason = "a handful of lanes")]
    fn lane_top(&self, lane: usize) -> f64 {
        TOP + lane as f64 * LANE
    }

    /// Bottom of the last lane.
    fn floor(&self) -> f64 {
        self.lane_top(self.scene.lanes.len())
    }

    #[allow(clippy::cast_precision_loss, reason = "a handful of targets")]
    fn height(&self) -> f64 {
        self.floor() + CLIENT * self.scene.accesses.len() as f64 + 48.0
    }

    fn head(&mut self) {
        let height = self.height();
        let (title, what) = (escape(self.scene.title), escape(self.scene.what));
        self.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" role=\"img\">\n\
             <title>{title}</title>\n<defs>\n\
             <pattern id=\"off\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"7\" height=\"7\" fill=\"#fff0f0\"/>\
             <rect width=\"2.2\" height=\"7\" fill=\"#ffa8a8\"/></pattern>\n\
             <marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
             markerHeight=\"7\" orient=\"auto-start-reverse\">\
             <path d=\"M0 0.8 L8 4 L0 7.2 z\" fill=\"{INK}\"/></marker>\n</defs>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"10\" fill=\"#ffffff\"/>\n\
             <g font-size=\"12\" fill=\"{INK}\">\n\
             <text x=\"22\" y=\"32\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
             <text x=\"22\" y=\"52\" fill=\"{FAINT}\">{what}; seconds since then, drawn from the \
             servers' logs, the LAN capture and the client's log</text>"
        ));
        self.legend();
    }

    fn legend(&mut self) {
        let mut kinds: Vec<Kind> = self.model.bars.iter().map(|bar| bar.kind).collect();
        kinds.sort();
        kinds.dedup();
        let mut x = 22.0;
        for kind in kinds {
            let (fill, words) = kind.look();
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"65\" width=\"14\" height=\"11\" rx=\"2\" fill=\"{fill}\" \
                 stroke=\"#00000022\"/><text x=\"{:.1}\" y=\"75\" font-size=\"11\">{words}</text>",
                x + 19.0
            ));
            x += 19.0 + text_width(words, 11.0) + 14.0;
        }
        for (index, target) in self.scene.targets.iter().enumerate() {
            let colour = VIPS[index % VIPS.len()];
            let words = format!("VIP of {}", escape(target));
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"68\" width=\"14\" height=\"5\" rx=\"2.5\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"75\" font-size=\"11\">{words}</text>",
                x + 19.0
            ));
            x += 19.0 + text_width(&words, 11.0) + 14.0;
        }
    }

    fn lanes(&mut self) {
        for (index, lane) in self.scene.lanes.iter().enumerate() {
            let top = self.lane_top(index);
            let fill = if index % 2 == 0 { "#f8f9fa" } else { "#ffffff" };
            let weight = if self.scene.targets.contains(&lane.name) {
                "700"
            } else {
                "400"
            };
            self.add(format_args!(
                "<rect x=\"12\" y=\"{top}\" width=\"{}\" height=\"{LANE}\" fill=\"{fill}\"/>\
                 <text x=\"22\" y=\"{}\" font-size=\"13\" font-weight=\"{weight}\">{}</text>",
                WIDTH - 24.0,
                top + 33.0,
                escape(&lane.name)
            ));
        }
    }

    fn bars(&mut self) {
        // Of two bars at one place the later one lies above.
        let mut bars: Vec<&Bar> = self.model.bars.iter().collect();
        bars.sort_by(|a, b| a.from.total_cmp(&b.from));
        for bar in bars {
            let (x, end) = (self.axis.x(bar.from), self.axis.x(bar.to));
            let width = (end - x).max(2.0);
            let (offset, height) = bar.kind.place();
            let y = self.lane_top(bar.lane) + offset;
            let (fill, words) = bar.kind.look();
            let label = if bar.label.is_empty() {
                words
            } else {
                bar.label.as_str()
            };
            let label = escape(label);
            let lasted = bar.to - bar.from;
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" \
                 rx=\"3\" fill=\"{fill}\" stroke=\"#00000022\">\
                 <title>{label}: {lasted:.2} s</title></rect>"
            ));
        }
    }

    /// The words of those bars that are wide enough for them.
    fn labels(&mut self) {
        for bar in &self.model.bars {
            let (x, width) = (
                self.axis.x(bar.from),
                self.axis.x(bar.to) - self.axis.x(bar.from),
            );
            let (offset, height) = bar.kind.place();
            let words = if bar.label.is_empty() {
                bar.kind.look().1
            } else {
                &bar.label
            };
            let size = if height > 12.0 { 11.0 } else { 9.0 };
            if text_width(words, size) + 8.0 < width {
                let y = self.lane_top(bar.lane) + offset + height / 2.0 + size * 0.36;
                let (x, words) = (x + 5.0, escape(words));
                self.add(format_args!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\">{words}</text>"
                ));
            }
        }
    }

    /// VIPs: a line on the lane that holds them, and a dotted one where they move.
    fn stays(&mut self) {
        let model = self.model;
        for (index, held) in model.held.iter().enumerate() {
            let colour = VIPS[held.target % VIPS.len()];
            let (x, end) = (self.axis.x(held.from), self.axis.x(held.to));
            let y = self.lane_top(held.lane) + VIP.0;
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"2.5\" \
                 fill=\"{colour}\"><title>VIP of {} on {}</title></rect>",
                (end - x).max(2.0),
                VIP.1,
                escape(&self.scene.targets[held.target]),
                escape(&self.scene.lanes[held.lane].name)
            ));
            let next = model.held[index + 1..]
                .iter()
                .find(|next| next.target == held.target);
            if let Some(next) = next.filter(|next| next.lane != held.lane) {
                let (to_x, to_y) = (self.axis.x(next.from), self.lane_top(next.lane) + VIP.0);
                let (y, to_y) = (y + VIP.1 / 2.0, to_y + VIP.1 / 2.0);
                self.add(format_args!(
                    "<path d=\"M{end:.1} {y:.1} C{:.1} {y:.1} {:.1} {to_y:.1} {to_x:.1} \
                     {to_y:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" \
                     stroke-dasharray=\"2 4\"/>",
                    (end + to_x) / 2.0,
                    (end + to_x) / 2.0
                ));
            }
        }
    }

    fn arrows(&mut self) {
        for arrow in &self.model.arrows {
            let (x, to_x) = (self.axis.x(arrow.sent), self.axis.x(arrow.received));
            let down = arrow.to > arrow.from;
            let middle = MODE.0 + MODE.1 / 2.0;
            let edge = MODE.1 / 2.0 + 2.0;
            let y = self.lane_top(arrow.from) + middle + if down { edge } else { -edge };
            let to_y = self.lane_top(arrow.to) + middle + if down { -edge } else { edge };
            let label = escape(&arrow.label);
            let (label_x, label_y) = ((x + to_x) / 2.0 + 5.0, (y + to_y) / 2.0 + 3.0);
            let svg = format!(
                "<path d=\"M{x:.1} {y:.1} L{to_x:.1} {to_y:.1}\" stroke=\"{INK}\" \
                 stroke-width=\"1.3\" marker-end=\"url(#tip)\"/>\
                 <text x=\"{label_x:.1}\" y=\"{label_y:.1}\" font-size=\"10.5\" \
                 stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{label}</text>"
            );
            self.add(format_args!("{svg}"));
        }
    }

    /// The client's accesses, one strip a target: green where served, red where not.
    fn client(&mut self) {
        let scene = self.scene;
        for (index, (target, accesses)) in scene.accesses.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "a handful of targets")]
            let y = self.floor() + 12.0 + CLIENT * index as f64;
            let name = if scene.accesses.len() > 1 {
                format!("client, {}", escape(target))
            } else {
                "client".to_owned()
            };
            self.add(format_args!(
                "<text x=\"22\" y=\"{:.1}\" font-size=\"13\">{name}</text>",
                y + 14.0
            ));
            for (from, to, served) in self.spans(accesses) {
                let (x, end) = (self.axis.x(from), self.axis.x(to));
                let (fill, label) = if served {
                    (OK, "OK".to_owned())
                } else {
                    (XX, format!("XX  {:.1} s", to - from))
                };
                self.add(format_args!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"20\" \
                     fill=\"{fill}\"><title>{label}</title></rect>",
                    (end - x).max(1.2)
                ));
                if text_width(&label, 11.0) + 8.0 < end - x {
                    let ink = if served { "#0b3d17" } else { "#ffffff" };
                    self.add(format_args!(
                        "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" font-weight=\"600\" \
                         fill=\"{ink}\">{label}</text>",
                        x + 6.0,
                        y + 14.0
                    ));
                }
            }
        }
    }

    /// Stretches of accesses with the same outcome, within the window.
    fn spans(&self, accesses: &[Access]) -> Vec<(f64, f64, bool)> {
        let (from, to) = self.model.window;
        let mut spans: Vec<(f64, f64, bool)> = Vec::new();
        for access in accesses {
            let at = self.scene.seconds(access.at);
            if at < from || at > to {
                continue;
            }
            let served = access.failure.is_none();
            match spans.last_mut() {
                Some(last) => {
                    last.1 = at;
                    if last.2 != served {
                        spans.push((at, at, served));
                    }
                }
                None => spans.push((from, at, served)),
            }
        }
        if let Some(last) = spans.last_mut() {
            last.1 = to;
        }
        spans
    }

    fn ticks(&mut self) {
        let bottom = self.height() - 30.0;
        for tick in self.axis.ticks() {
            let x = self.axis.x(tick);
            self.add(format_args!(
                "<path d=\"M{x:.1} {bottom:.1} v5\" stroke=\"{FAINT}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10.5\" text-anchor=\"middle\" \
                 fill=\"{FAINT}\">{tick:.0}</text>",
                bottom + 17.0
            ));
        }
    }

    /// Where the axis is cut: a pale stripe that says how long it stands for.
    fn cuts(&mut self) {
        let (top, bottom) = (TOP, self.height() - 30.0);
        let cuts: Vec<_> = self.axis.cuts().collect();
        for (x, end, seconds) in cuts {
            let (middle, half_way) = ((x + end) / 2.0 + 4.0, (top + self.floor()) / 2.0);
            self.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{:.1}\" \
                 fill=\"#ffffff\" opacity=\"0.72\"/>\
                 <path d=\"M{x:.1} {top} V{bottom:.1} M{end:.1} {top} V{bottom:.1}\" \
                 stroke=\"{FAINT}\" stroke-dasharray=\"1 4\"/>\
                 <text transform=\"translate({middle:.1} {half_way:.1}) rotate(-90)\" \
                 font-size=\"11\" text-anchor=\"middle\" fill=\"{FAINT}\">{seconds:.0} s \
                 without events</text>",
                end - x,
                bottom - top
            ));
        }
    }

    /// The moments that the figures are read from, labelled above the lanes.
    fn marks(&mut self) {
        let mut free = [f64::MIN; 2];
        for mark in &self.model.marks {
            let x = self.axis.x(mark.at);
            let words = if mark.at == 0.0 {
                mark.label.to_owned()
            } else {
                format!("{} {:.1} s", mark.label, mark.at)
            };
            let width = text_width(&words, 11.5);
            let left = (x - width / 2.0).clamp(LEFT - 60.0, RIGHT - width);
            let row = usize::from(left < free[0]);
            free[row] = left + width + 10.0;
            #[allow(clippy::cast_precision_loss, reason = "two rows")]
            let y = 104.0 + 14.0 * row as f64;
            let bottom = self.height() - 30.0;
            let svg = format!(
                "<path d=\"M{x:.1} {:.1} V{bottom:.1}\" stroke=\"{INK}\" stroke-width=\"1\" \
                 stroke-dasharray=\"4 3\" opacity=\"0.55\"/>\
                 <text x=\"{left:.1}\" y=\"{y:.1}\" font-size=\"11.5\" font-weight=\"600\">\
                 {words}</text>",
                y + 4.0
            );
            self.add(format_args!("{svg}"));
        }
    }
}
