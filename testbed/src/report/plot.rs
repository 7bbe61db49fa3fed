//! Plots of how something grows, as self-contained SVG in the style of the timelines: panels side
//! by side with both axes logarithmic, so that what stays constant is level and what grows in
//! proportion rises at one angle.

use super::result::escape;
use super::timeline::look::{FAINT, INK, VIPS, text_width};
use std::fmt::Write as _;

const WIDTH: f64 = 1280.0;
const HEIGHT: f64 = 480.0;
const TOP: f64 = 118.0;
const BOTTOM: f64 = 436.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 1256.0;
/// Between two panels, where the next one's figures stand.
const GAP: f64 = 62.0;

/// A line of a panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it shows; the same label is the same colour in all panels.
    pub label: String,
    /// Dashed instead of drawn through.
    pub dashed: bool,
    /// Its points; both coordinates above 0.
    pub points: Vec<(f64, f64)>,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What the upright axis shows.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// Draws panels over the same level axis, which `along` names.
#[must_use]
pub fn svg(title: &str, what: &str, along: &str, panels: &[Panel]) -> String {
    let mut drawing = Drawing {
        svg: String::new(),
        labels: labels(panels),
    };
    drawing.head(title, what);
    drawing.legend();
    let count = panels.len().max(1);
    #[allow(clippy::cast_precision_loss, reason = "a few panels")]
    let width = (RIGHT - LEFT - GAP * (count - 1) as f64) / count as f64;
    let level = Scale::over(panels.iter().flat_map(points).map(|(x, _)| x));
    for (at, panel) in panels.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "a few panels")]
        let left = LEFT + at as f64 * (width + GAP);
        let upright = Scale::over(points(panel).map(|(_, y)| y));
        let frame = Frame {
            left,
            width,
            level,
            upright,
        };
        drawing.axes(&frame, panel, along);
        for line in &panel.lines {
            drawing.line(&frame, line);
        }
    }
    drawing.svg.push_str("</g></svg>\n");
    drawing.svg
}

fn points(panel: &Panel) -> impl Iterator<Item = (f64, f64)> {
    panel
        .lines
        .iter()
        .flat_map(|line| line.points.iter().copied())
}

/// Every label once, with whether it is dashed.
fn labels(panels: &[Panel]) -> Vec<(String, bool)> {
    let mut labels: Vec<(String, bool)> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !labels.iter().any(|(label, _)| *label == line.label) {
            labels.push((line.label.clone(), line.dashed));
        }
    }
    labels
}

/// Whole powers of ten that hold all values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let powers = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = powers.fold((f64::MAX, f64::MIN), |(low, high), power| {
            (low.min(power), high.max(power))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        }
        let (low, high) = (low.floor(), high.ceil());
        Self {
            low,
            high: high.max(low + 1.0),
        }
    }

    /// From 0 to 1.
    fn part(self, value: f64) -> f64 {
        ((value.log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The powers of ten in it.
    fn powers(self) -> impl Iterator<Item = f64> {
        let count = (self.high - self.low).round().clamp(0.0, 40.0);
        let steps = std::iter::successors(Some(0.0), |step: &f64| Some(step + 1.0));
        steps
            .take_while(move |step| *step <= count)
            .map(move |step| 10_f64.powf(self.low + step))
    }
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f64,
    width: f64,
    level: Scale,
    upright: Scale,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.left + self.level.part(value) * self.width
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.upright.part(value) * (BOTTOM - TOP)
    }
}

struct Drawing {
    svg: String,
    labels: Vec<(String, bool)>,
}

impl Drawing {
    /// Adds a line of SVG. Writing to a string cannot fail.
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.svg.write_fmt(text);
        self.svg.push('\n');
    }

    fn colour(&self, label: &str) -> &'static str {
        let at = self.labels.iter().position(|(known, _)| known == label);
        VIPS[at.unwrap_or(0) % VIPS.len()]
    }

    fn head(&mut self, title: &str, what: &str) {
        let (title, what) = (escape(title), escape(what));
        self.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" role=\"img\">\n\
             <title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"10\" fill=\"#ffffff\"/>\n\
             <g font-size=\"12\" fill=\"{INK}\">\n\
             <text x=\"22\" y=\"32\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
             <text x=\"22\" y=\"52\" fill=\"{FAINT}\">{what}</text>"
        ));
    }

    fn legend(&mut self) {
        let mut x = 22.0;
        for (label, dashed) in self.labels.clone() {
            let colour = self.colour(&label);
            let dashes = dashes(dashed);
            let words = escape(&label);
            self.add(format_args!(
                "<path d=\"M{x:.1} 72 h26\" stroke=\"{colour}\" stroke-width=\"2.2\"{dashes}/>\
                 <text x=\"{:.1}\" y=\"76\" font-size=\"11\">{words}</text>",
                x + 31.0
            ));
            x += 31.0 + text_width(&label, 11.0) + 20.0;
        }
    }

    fn axes(&mut self, frame: &Frame, panel: &Panel, along: &str) {
        let (left, right) = (frame.left, frame.left + frame.width);
        for power in frame.upright.powers() {
            let y = frame.y(power);
            self.add(format_args!(
                "<path d=\"M{left:.1} {y:.1} H{right:.1}\" stroke=\"#e9ecef\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10.5\" text-anchor=\"end\" \
                 fill=\"{FAINT}\">{power}</text>",
                left - 6.0,
                y + 3.5
            ));
        }
        for power in frame.level.powers() {
            let x = frame.x(power);
            self.add(format_args!(
                "<path d=\"M{x:.1} {TOP} V{:.1}\" stroke=\"#e9ecef\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10.5\" text-anchor=\"middle\" \
                 fill=\"{FAINT}\">{power}</text>",
                BOTTOM + 5.0,
                BOTTOM + 18.0
            ));
        }
        let (title, along) = (escape(&panel.title), escape(along));
        self.add(format_args!(
            "<path d=\"M{left:.1} {TOP} V{BOTTOM} H{right:.1}\" fill=\"none\" stroke=\"{FAINT}\"/>\
             <text x=\"{left:.1}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"600\">{title}</text>\
             <text x=\"{right:.1}\" y=\"{:.1}\" font-size=\"10.5\" text-anchor=\"end\" \
             fill=\"{FAINT}\">{along}</text>",
            TOP - 12.0,
            BOTTOM + 34.0
        ));
    }

    fn line(&mut self, frame: &Frame, line: &Line) {
        let good = |(x, y): &&(f64, f64)| *x > 0.0 && *y > 0.0;
        let points = line.points.iter().filter(good);
        let points: Vec<(f64, f64)> = points.map(|(x, y)| (frame.x(*x), frame.y(*y))).collect();
        let (colour, label) = (self.colour(&line.label), escape(&line.label));
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let (path, dashes) = (path.join(" "), dashes(line.dashed));
        self.add(format_args!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" \
             stroke-linejoin=\"round\"{dashes}><title>{label}</title></polyline>"
        ));
        for ((x, y), (n, value)) in points.iter().zip(line.points.iter().filter(good)) {
            self.add(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" fill=\"{colour}\">\
                 <title>{label}, {n}: {value:.3}</title></circle>"
            ));
        }
    }
}

fn dashes(dashed: bool) -> &'static str {
    if dashed {
        " stroke-dasharray=\"5 4\""
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_powers_of_ten() {
        let scale = Scale::over([2.0, 0.0, 300.0].into_iter());
        assert_eq!((scale.low, scale.high), (0.0, 3.0));
        assert_eq!(
            scale.powers().collect::<Vec<_>>(),
            [1.0, 10.0, 100.0, 1000.0]
        );
        assert!((scale.part(10.0) - 1.0 / 3.0).abs() < 1e-9);
        let level = Scale::over([0.3].into_iter());
        assert_eq!((level.low, level.high), (-1.0, 0.0));
        assert_eq!(Scale::over([].into_iter()).powers().count(), 2);
    }

    #[test]
    fn the_plot_is_whole_and_escapes_its_words() {
        let line = |label: &str, dashed| Line {
            label: label.to_owned(),
            dashed,
            points: vec![(1.0, 2.0), (10.0, 20.0), (100.0, 0.0)],
        };
        let panel = Panel {
            title: "a & b".to_owned(),
            lines: vec![line("one", false), line("two", true)],
        };
        let svg = svg("t", "w", "n", &[panel.clone(), panel]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &amp; b"));
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("<circle").count(), 8);
    }
}
