//! The plot of how the cost of managing grows with the number of servers.

use super::Tables;
use super::rest::{Rate, Rest, Sum};
use crate::report::plot::{Line, Panel, svg};

impl Tables {
    /// The plot, as SVG.
    pub(in crate::sim) fn picture(&self) -> String {
        let panel = |title: &str, whole, few: Option<(Sum, &str)>| {
            let mut lines = vec![
                line("ring: mean of all servers", &self.ring, whole, |rate| {
                    rate.mean
                }),
                line("ring: busiest server", &self.ring, whole, |rate| rate.most),
                line("star: manager", &self.star, whole, |rate| rate.most),
            ];
            if let Some((few, label)) = few {
                let mut line = line(label, &self.ring, few, |rate| rate.most);
                line.dashed = true;
                lines.push(line);
            }
            Panel {
                title: title.to_owned(),
                lines,
            }
        };
        let panels = [
            panel(
                "messages sent and received",
                Sum::Messages,
                Some((Sum::FewMessages, FEW)),
            ),
            panel(
                "accesses to the share",
                Sum::Share,
                Some((Sum::FewShare, FEW)),
            ),
            panel("examinations", Sum::Examinations, None),
        ];
        svg(
            "What managing costs at rest, ring against star",
            "per server and second in the simulator; both axes logarithmic",
            "target servers",
            &panels,
        )
    }
}

const FEW: &str = "ring: busiest server but for what only the head does";

fn line(label: &str, rests: &[Rest], sum: Sum, value: fn(&Rate) -> f64) -> Line {
    let point = |rest: &Rest| {
        let targets = u32::try_from(rest.targets).unwrap_or(u32::MAX);
        Some((f64::from(targets), value(rest.sums.get(&sum)?)))
    };
    Line {
        label: label.to_owned(),
        dashed: false,
        points: rests.iter().filter_map(point).collect(),
    }
}
