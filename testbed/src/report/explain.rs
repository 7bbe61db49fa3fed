//! Why a time differs from its equation: what the log shows of each of its terms, as the paper does in
//! section 4.3 where T_v grows with the VMs that start at the same time.

use super::analytical::{self, Parameters, Span};
use super::result::TargetResult;
use super::table::TOLERANCE;
use crate::experiment::spec::{Strike, TroubleKind};
use ringward::manage::event::Event;
use serde::Serialize;
use std::time::Duration;

/// A term whose difference is less is not worth a word, in seconds.
const WORTH: f64 = 0.3;

/// What kept servers waiting during a recovery, by their logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hindrances {
    /// How often the share did not answer in time.
    pub share_silent: usize,
    /// How often a server's own tick was late.
    pub late: usize,
}

impl Hindrances {
    /// Counts them in the lines between two moments.
    #[must_use]
    pub fn count(lines: &[super::steps::Line<'_>], from: Duration, until: Duration) -> Self {
        let of = |is: fn(&Event) -> bool| {
            let lines = lines.iter().filter(|(at, _, _)| (from..until).contains(at));
            lines.filter(|(_, _, event)| is(event)).count()
        };
        Self {
            share_silent: of(|event| matches!(event, Event::ShareSilent { .. })),
            late: of(|event| matches!(event, Event::Late { .. })),
        }
    }

    fn words(self) -> String {
        let times = |n: usize, one: &str, what: &str| match n {
            0 => None,
            1 => Some(format!("{one} once")),
            n => Some(format!("{what} {n} times")),
        };
        let all = [
            times(
                self.share_silent,
                "the share was silent",
                "the share was silent",
            ),
            times(
                self.late,
                "a server's own tick was late",
                "a server's own tick was late",
            ),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        match all.is_empty() {
            true => String::new(),
            false => format!(" Meanwhile {}.", all.join(" and ")),
        }
    }
}

/// One term of an equation: its name, what it should be and what it was.
struct Term(&'static str, f64, f64);

impl Term {
    fn words(&self) -> Option<String> {
        let Self(name, should, was) = self;
        let more = was - should;
        (more.abs() >= WORTH)
            .then(|| format!("{name} took {was:.2} s instead of {should:.2} ({more:+.2})"))
    }
}

/// A sentence for each time of `target` that differs from its equation by more than that allows.
/// `moment` is when the trouble struck after S.
#[must_use]
pub fn explain(strike: &Strike, target: &TargetResult, p: &Parameters, moment: f64) -> Vec<String> {
    let Some(steps) = &target.steps else {
        return Vec::new();
    };
    let (s, c, m) = (&p.settings, &p.characteristics, &target.measured);
    let equation = analytical::recovery(strike.trouble, p);
    let left = s.t_im - moment;
    let (found, examined) = match strike.trouble {
        TroubleKind::St1 => (left, 0.0),
        TroubleKind::St2 => (left, s.t_sw),
        _ => (left + s.t_nd, s.t_nd),
    };
    let detection = [
        Term("detection", found, steps.found),
        Term("taking up", 0.0, steps.taken_up),
    ];
    let function = match strike.trouble {
        TroubleKind::St1 => Vec::new(),
        _ => vec![
            Term("the examination", examined, steps.examined),
            Term("the way to another host", 0.0, steps.elsewhere),
            Term("activation (T_v)", c.t_v, steps.started + steps.set),
        ],
    };
    // T_n2t has a wake-on-LAN in the middle, and the log its time; of the others the log tells no more than
    // the whole, which is a restart.
    let home = match (strike.trouble, m.start, m.target) {
        (TroubleKind::St1, ..) => {
            let cured = m.target.unwrap_or(c.t_se);
            vec![Term("the cure (T_se)", c.t_se, cured)]
        }
        (TroubleKind::St2 | TroubleKind::Nt1, _, Some(target)) => {
            let restart = c.t_tr + target - equation.target;
            vec![Term("the restart (T_tr)", c.t_tr, restart)]
        }
        (_, Some(start), Some(target)) => vec![
            Term("judging it (T_nd + T_rc)", s.t_nd + s.t_rc, target - start),
            Term("the start (T_ts)", c.t_ts, start),
        ],
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    let mut say =
        |what: &str, measured: Option<f64>, span: Span, terms: &[&[Term]], hindered: &str| {
            let Some(more) = measured.map(|measured| measured - span.value) else {
                return;
            };
            if more.is_nan() || more.abs() <= span.plus_minus + TOLERANCE {
                return;
            }
            let terms = terms.iter().flat_map(|terms| terms.iter());
            let why: Vec<String> = terms.filter_map(Term::words).collect();
            let why = match why.is_empty() {
                true => "no step of it stands out".to_owned(),
                false => why.join(", "),
            };
            let server = &target.server;
            all.push(format!("{server}, {what}: {more:+.2} s. {why}.{hindered}"));
        };
    let exactly = |value| Span {
        value,
        plus_minus: 0.0,
    };
    let hindered = target.hindrances.words();
    if let Some(should) = equation.function {
        say(
            "function recovery",
            m.function,
            exactly(should),
            &[&function],
            &hindered,
        );
    }
    let cure = match strike.trouble {
        TroubleKind::St1 => &home,
        _ => &function,
    };
    let client = [&detection[..], cure];
    say(
        "access disconnection",
        m.disconnection_1s,
        equation.disconnection,
        &client,
        &hindered,
    );
    say(
        "target recovery",
        m.target,
        exactly(equation.target),
        &[&home],
        "",
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::analytical::Characteristics;
    use crate::report::figures::Measured;
    use crate::report::steps::Steps;

    fn parameters(t_v: f64) -> Parameters {
        Parameters {
            settings: analytical::Settings {
                t_im: 10.0,
                t_nd: 2.0,
                t_sw: 3.0,
                t_rc: 88.0,
            },
            characteristics: Characteristics {
                t_ts: 25.0,
                t_tr: 30.0,
                t_se: 0.1,
                t_v,
            },
        }
    }

    #[test]
    fn the_step_that_took_the_time_is_named() {
        let p = parameters(2.26);
        let strike = Strike {
            server: "ftp".to_owned(),
            trouble: TroubleKind::Nt1,
        };
        let target = TargetResult {
            server: "ftp".to_owned(),
            actor: None,
            steps: Some(Steps {
                found: 11.4,
                examined: 2.06,
                started: 1.87,
                set: 5.71,
                ..Steps::default()
            }),
            measured: Measured {
                function: Some(9.64),
                disconnection_1s: Some(21.78),
                ..Measured::default()
            },
            hindrances: Hindrances {
                share_silent: 3,
                late: 1,
            },
            later_outages_s: Vec::new(),
        };
        let said = explain(&strike, &target, &p, 5.0).join("\n");
        insta::assert_snapshot!(said, @r"
        ftp, function recovery: +5.38 s. activation (T_v) took 7.58 s instead of 2.26 (+5.32). Meanwhile the share was silent 3 times and a server's own tick was late once.
        ftp, access disconnection: +10.52 s. detection took 11.40 s instead of 7.00 (+4.40), activation (T_v) took 7.58 s instead of 2.26 (+5.32). Meanwhile the share was silent 3 times and a server's own tick was late once.
        ");
    }

    #[test]
    fn each_trouble_has_its_own_terms() {
        let p = parameters(2.0);
        let said = |trouble, target: f64, start| {
            let strike = Strike {
                server: "ftp".to_owned(),
                trouble,
            };
            let target = TargetResult {
                server: "ftp".to_owned(),
                actor: None,
                steps: Some(Steps::default()),
                measured: Measured {
                    target: Some(target),
                    start,
                    ..Measured::default()
                },
                hindrances: Hindrances::default(),
                later_outages_s: Vec::new(),
            };
            explain(&strike, &target, &p, 5.0).join("")
        };
        insta::assert_snapshot!(said(TroubleKind::St1, 3.0, None), @"ftp, target recovery: +2.90 s. the cure (T_se) took 3.00 s instead of 0.10 (+2.90).");
        insta::assert_snapshot!(said(TroubleKind::St2, 36.1, None), @"ftp, target recovery: +3.00 s. the restart (T_tr) took 33.00 s instead of 30.00 (+3.00).");
        insta::assert_snapshot!(said(TroubleKind::Nt1, 20.1, None), @"ftp, target recovery: -3.00 s. the restart (T_tr) took 27.00 s instead of 30.00 (-3.00).");
        insta::assert_snapshot!(said(TroubleKind::Nt2, 120.1, Some(30.0)), @"ftp, target recovery: +5.00 s. the start (T_ts) took 30.00 s instead of 25.00 (+5.00).");
        assert_eq!(said(TroubleKind::Nt2, 115.1, Some(25.0)), "");
    }
}
