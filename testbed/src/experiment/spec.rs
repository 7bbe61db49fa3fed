//! An experiment as data: what breaks, when, and what is read off.
//!
//! One TOML file an experiment. The file is checked whole before anything is started, and an
//! error names the file, the line and what was expected there.

use ringward::cluster::Profile;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// The paper's four kinds of trouble (section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TroubleKind {
    /// The service stops; restarting its program cures it.
    St1,
    /// The service stops; only restarting the server cures it.
    St2,
    /// The server is restarted on purpose.
    Nt1,
    /// The server is shut down.
    Nt2,
}

impl TroubleKind {
    /// All kinds, in the order of Fig. 13.
    pub const ALL: [Self; 4] = [Self::St1, Self::St2, Self::Nt1, Self::Nt2];

    /// True when the function moves to a backup VM on the way to recovery.
    #[must_use]
    pub fn needs_backup(self) -> bool {
        self != Self::St1
    }
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// When the trouble strikes, counted from an S message that starts an examination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// The interval T_im divided by this number (the paper: 2).
    IntervalOver(f64),
    /// A fixed time.
    After(Duration),
}

impl Moment {
    /// The wait after the S message for an interval of `t_im`.
    #[must_use]
    pub fn after_s(self, t_im: Duration) -> Duration {
        match self {
            Self::IntervalOver(parts) => t_im.div_f64(parts),
            Self::After(wait) => wait,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(parts) = text.strip_prefix("t_im/") {
            let parts: f64 = parts.trim().parse().ok()?;
            return (1.0..=100.0)
                .contains(&parts)
                .then_some(Self::IntervalOver(parts));
        }
        let seconds: f64 = text.strip_suffix('s')?.trim().parse().ok()?;
        (0.0..=3600.0)
            .contains(&seconds)
            .then(|| Self::After(Duration::from_secs_f64(seconds)))
    }
}

/// A time that is read off the logs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Recovery of the server function by the backup VM.
    Function,
    /// Recovery of the target server.
    Target,
    /// Access disconnection of a client.
    Disconnection,
    /// Activation of the backup VM, T_v.
    Activation,
}

/// A checked experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// What the operator types after `run`.
    pub name: String,
    /// One line for lists and reports.
    pub title: String,
    /// What is done to every target.
    pub trouble: TroubleKind,
    /// Servers that are hit at the same moment, at least one.
    pub targets: Vec<String>,
    /// When the trouble strikes.
    pub moment: Moment,
    /// Timings of the servers.
    pub profile: Profile,
    /// Interval of the client's accesses.
    pub poll: Duration,
    /// How many times the experiment runs when the command line does not say.
    pub repeats: u32,
    /// What the report shows.
    pub measures: Vec<Measure>,
}

/// Why an experiment file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file cannot be read.
    #[error("reading the experiment file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected shape.
    #[error("{origin} is not an experiment file")]
    Shape {
        /// File name.
        origin: String,
        /// Line, column and what was expected.
        source: Box<toml::de::Error>,
    },
    /// A field has a value that cannot be carried out.
    #[error("{origin}:{line}: `{field}` is {found}; expected {expected}")]
    Value {
        /// File name.
        origin: String,
        /// Line, counted from 1.
        line: usize,
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        expected: String,
    },
}

/// The file as written; [`Experiment`] is what comes out of checking it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    title: String,
    trouble: TroubleKind,
    targets: Spanned<Vec<Spanned<String>>>,
    moment: Spanned<String>,
    profile: Profile,
    poll_ms: Spanned<u64>,
    repeats: Spanned<u32>,
    measures: Spanned<Vec<Measure>>,
}

/// Limits of one file; beyond them a value is a slip of the pen.
const POLL_MS: std::ops::RangeInclusive<u64> = 20..=10_000;
const REPEATS: std::ops::RangeInclusive<u32> = 1..=100;

impl Experiment {
    /// Checks the text of one file; `origin` names it in errors, `servers` are the names a target
    /// may have.
    ///
    /// # Errors
    /// [`SpecError::Shape`] for what TOML or the field types refuse, [`SpecError::Value`] for a
    /// value out of range or an unknown server.
    pub fn parse(origin: &str, text: &str, servers: &[&str]) -> Result<Self, SpecError> {
        let file: File = toml::from_str(text).map_err(|source| SpecError::Shape {
            origin: origin.to_owned(),
            source: Box::new(source),
        })?;
        let refuse = |at: usize, field, found: String, expected: String| SpecError::Value {
            origin: origin.to_owned(),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            field,
            found,
            expected,
        };

        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let name = file.name.get_ref();
        if name.is_empty() || !name.chars().all(plain) {
            let expected = "a word of lower-case letters, digits and `-`".to_owned();
            return Err(refuse(
                file.name.span().start,
                "name",
                format!("{name:?}"),
                expected,
            ));
        }
        let targets = file.targets.get_ref();
        if targets.is_empty() {
            let expected = format!("at least one of {}", servers.join(", "));
            let at = file.targets.span().start;
            return Err(refuse(at, "targets", "empty".to_owned(), expected));
        }
        for (i, target) in targets.iter().enumerate() {
            let known = servers.contains(&target.get_ref().as_str());
            if !known || targets[..i].iter().any(|t| t.get_ref() == target.get_ref()) {
                let found = format!("{:?}", target.get_ref());
                let expected = format!("each of them once, out of {}", servers.join(", "));
                return Err(refuse(target.span().start, "targets", found, expected));
            }
        }
        let Some(moment) = Moment::parse(file.moment.get_ref()) else {
            let found = format!("{:?}", file.moment.get_ref());
            let expected = "a part of the interval such as \"t_im/2\", or a time such as \"3.5 s\"";
            return Err(refuse(
                file.moment.span().start,
                "moment",
                found,
                expected.to_owned(),
            ));
        };
        if !POLL_MS.contains(file.poll_ms.get_ref()) {
            let expected = format!("{} to {} ms", POLL_MS.start(), POLL_MS.end());
            let found = file.poll_ms.get_ref().to_string();
            return Err(refuse(
                file.poll_ms.span().start,
                "poll_ms",
                found,
                expected,
            ));
        }
        if !REPEATS.contains(file.repeats.get_ref()) {
            let expected = format!("{} to {}", REPEATS.start(), REPEATS.end());
            let found = file.repeats.get_ref().to_string();
            return Err(refuse(
                file.repeats.span().start,
                "repeats",
                found,
                expected,
            ));
        }
        let measures = file.measures.get_ref();
        if measures.is_empty() {
            let expected = "at least one of function, target, disconnection, activation";
            let at = file.measures.span().start;
            return Err(refuse(
                at,
                "measures",
                "empty".to_owned(),
                expected.to_owned(),
            ));
        }
        let of_backup = |m: &&Measure| matches!(m, Measure::Function | Measure::Activation);
        if let Some(measure) = measures.iter().find(of_backup) {
            if !file.trouble.needs_backup() {
                let expected =
                    "only target and disconnection, because St1 is cured without a backup VM";
                let found = format!("{measure:?}").to_lowercase();
                let at = file.measures.span().start;
                return Err(refuse(at, "measures", found, expected.to_owned()));
            }
        }

        Ok(Self {
            moment,
            name: file.name.into_inner(),
            title: file.title,
            trouble: file.trouble,
            targets: targets.iter().map(|t| t.get_ref().clone()).collect(),
            profile: file.profile,
            poll: Duration::from_millis(file.poll_ms.into_inner()),
            repeats: file.repeats.into_inner(),
            measures: file.measures.into_inner(),
        })
    }

    /// Reads and checks a file of the operator's own.
    ///
    /// # Errors
    /// As [`Experiment::parse`], and [`SpecError::Unreadable`].
    pub fn read(path: &Path, servers: &[&str]) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text, servers)
    }

    /// True when the report shows `measure`.
    #[must_use]
    pub fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 2] = ["ftp", "web1"];
    const GOOD: &str = r#"name = "nt2"
title = "Shutdown"
trouble = "Nt2"
targets = ["ftp"]
moment = "t_im/2"
profile = "paper"
poll_ms = 100
repeats = 1
measures = ["function", "target"]
"#;

    fn refused(from: &str, to: &str) -> String {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        let error = anyhow::Error::from(Experiment::parse("x.toml", &text, &SERVERS).unwrap_err());
        format!("{error:#}")
    }

    #[test]
    fn a_good_file_is_read() {
        let experiment = Experiment::parse("x.toml", GOOD, &SERVERS).unwrap();
        assert_eq!(experiment.trouble, TroubleKind::Nt2);
        let at = experiment.moment.after_s(Duration::from_secs(10));
        assert_eq!(at, Duration::from_secs(5));
        assert!(experiment.wants(Measure::Target) && !experiment.wants(Measure::Activation));
    }

    #[test]
    fn a_fixed_moment_does_not_depend_on_the_interval() {
        let moment = Moment::parse("3.5 s").unwrap();
        assert_eq!(
            moment.after_s(Duration::from_secs(10)),
            Duration::from_millis(3500)
        );
        assert_eq!(Moment::parse("t_im/0"), None);
        assert_eq!(Moment::parse("later"), None);
    }

    #[test]
    fn values_that_cannot_be_carried_out_are_refused_with_their_line() {
        insta::assert_snapshot!(refused("[\"ftp\"]", "[\"ftp\", \"dns\"]"),
            @r#"x.toml:4: `targets` is "dns"; expected each of them once, out of ftp, web1"#);
        insta::assert_snapshot!(refused("[\"ftp\"]", "[]"),
            @"x.toml:4: `targets` is empty; expected at least one of ftp, web1");
        insta::assert_snapshot!(refused("t_im/2", "soon"),
            @r#"x.toml:5: `moment` is "soon"; expected a part of the interval such as "t_im/2", or a time such as "3.5 s""#);
        insta::assert_snapshot!(refused("poll_ms = 100", "poll_ms = 0"),
            @"x.toml:7: `poll_ms` is 0; expected 20 to 10000 ms");
        insta::assert_snapshot!(refused("\"Nt2\"", "\"St1\""),
            @"x.toml:9: `measures` is function; expected only target and disconnection, because St1 is cured without a backup VM");
    }

    #[test]
    fn a_wrong_shape_is_refused_with_what_was_expected() {
        let text = refused("\"Nt2\"", "\"Nt9\"");
        assert!(
            text.contains("line 3") && text.contains("`St1`, `St2`, `Nt1`, `Nt2`"),
            "{text}"
        );
        let text = refused("repeats = 1\n", "");
        assert!(text.contains("missing field `repeats`"), "{text}");
        let text = refused("title", "headline");
        assert!(
            text.contains("line 2") && text.contains("unknown field `headline`"),
            "{text}"
        );
    }
}
