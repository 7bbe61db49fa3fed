//! Experiment files: read, checked whole before anything is started, and refused with the file, the
//! line and what was expected there.

use super::{Experiment, Measure, Moment, Strike, Then, TroubleKind, Until};
use ringward::cluster::Profile;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

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
    moment: Spanned<String>,
    #[serde(default)]
    until: Until,
    profile: Profile,
    poll_ms: Spanned<u64>,
    repeats: Spanned<u32>,
    measures: Spanned<Vec<Measure>>,
    #[serde(rename = "case")]
    cases: Spanned<Vec<CaseInFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseInFile {
    name: Spanned<String>,
    title: String,
    troubles: Spanned<BTreeMap<Spanned<String>, TroubleKind>>,
    then: Option<Spanned<Then>>,
}

/// Limits of one file; beyond them a value is a slip of the pen.
const POLL_MS: RangeInclusive<u64> = 20..=10_000;
const REPEATS: RangeInclusive<u32> = 1..=100;

impl Moment {
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

impl Experiment {
    /// Checks the text of one file and gives its cases; `origin` names it in errors, `servers` are
    /// the names a target may have, in ring order.
    ///
    /// # Errors
    /// [`SpecError::Shape`] for what TOML or the field types refuse, [`SpecError::Value`] for a
    /// value out of range or an unknown server.
    pub fn parse(origin: &str, text: &str, servers: &[&str]) -> Result<Vec<Self>, SpecError> {
        let file: File = toml::from_str(text).map_err(|source| SpecError::Shape {
            origin: origin.to_owned(),
            source: Box::new(source),
        })?;
        let check = Check { origin, text };
        check.word(&file.name)?;
        let Some(moment) = Moment::parse(file.moment.get_ref()) else {
            let found = format!("{:?}", file.moment.get_ref());
            let expected = "a part of the interval such as \"t_im/2\", or a time such as \"3.5 s\"";
            return Err(check.refuse(&file.moment, "moment", found, expected));
        };
        check.range(&file.poll_ms, "poll_ms", POLL_MS, " ms")?;
        check.range(&file.repeats, "repeats", REPEATS, "")?;
        if file.measures.get_ref().is_empty() {
            let expected = "at least one of function, target, disconnection, activation";
            return Err(check.refuse(&file.measures, "measures", "empty".to_owned(), expected));
        }
        if file.cases.get_ref().is_empty() {
            let expected = "at least one [[case]]";
            return Err(check.refuse(&file.cases, "case", "empty".to_owned(), expected));
        }
        let mut cases: Vec<Self> = Vec::new();
        for case in file.cases.get_ref() {
            check.word(&case.name)?;
            let name = case.name.get_ref();
            if cases.iter().any(|other| other.case == *name) {
                let expected = "another name for every case";
                return Err(check.refuse(&case.name, "name", format!("{name:?}"), expected));
            }
            cases.push(Self {
                suite: file.name.get_ref().clone(),
                case: name.clone(),
                suite_title: file.title.clone(),
                title: case.title.clone(),
                strikes: check.strikes(&case.troubles, servers)?,
                then: check.then(case)?,
                moment,
                until: file.until,
                profile: file.profile,
                poll: Duration::from_millis(*file.poll_ms.get_ref()),
                repeats: *file.repeats.get_ref(),
                measures: file.measures.get_ref().clone(),
            });
        }
        let wanted = |measure: &Measure| {
            let mut strikes = cases
                .iter()
                .flat_map(|case| case.strikes.iter().map(move |s| (case, s)));
            strikes.any(|(case, strike)| case.wants(*measure, strike.trouble))
        };
        if let Some(measure) = file.measures.get_ref().iter().find(|m| !wanted(m)) {
            let found = format!("{measure:?}").to_lowercase();
            let expected = "only what some case has: St1 is cured without a backup VM, and with \
                            until = \"function\" servers are not awaited";
            return Err(check.refuse(&file.measures, "measures", found, expected));
        }
        Ok(cases)
    }

    /// Reads and checks a file of the operator's own.
    ///
    /// # Errors
    /// As [`Experiment::parse`], and [`SpecError::Unreadable`].
    pub fn read(path: &Path, servers: &[&str]) -> Result<Vec<Self>, SpecError> {
        let text = std::fs::read_to_string(path).map_err(|source| SpecError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text, servers)
    }
}

/// A file that is being checked.
struct Check<'a> {
    origin: &'a str,
    text: &'a str,
}

impl Check<'_> {
    fn refuse<T>(
        &self,
        at: &Spanned<T>,
        field: &'static str,
        found: String,
        expected: impl Into<String>,
    ) -> SpecError {
        let at = at.span().start.min(self.text.len());
        SpecError::Value {
            origin: self.origin.to_owned(),
            line: self.text[..at].matches('\n').count() + 1,
            field,
            found,
            expected: expected.into(),
        }
    }

    fn word(&self, name: &Spanned<String>) -> Result<(), SpecError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let text = name.get_ref();
        if text.is_empty() || !text.chars().all(plain) {
            let expected = "a word of lower-case letters, digits and `-`";
            return Err(self.refuse(name, "name", format!("{text:?}"), expected));
        }
        Ok(())
    }

    fn range<T: PartialOrd + Copy + fmt::Display>(
        &self,
        value: &Spanned<T>,
        field: &'static str,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Result<(), SpecError> {
        if range.contains(value.get_ref()) {
            return Ok(());
        }
        let expected = format!("{} to {}{unit}", range.start(), range.end());
        Err(self.refuse(value, field, value.get_ref().to_string(), expected))
    }

    /// What follows: only a backup VM has a host.
    fn then(&self, case: &CaseInFile) -> Result<Option<Then>, SpecError> {
        let Some(then) = &case.then else {
            return Ok(None);
        };
        let host_of = &then.get_ref().host_of;
        let mut troubles = case.troubles.get_ref().iter();
        let moved =
            troubles.any(|(server, trouble)| server.get_ref() == host_of && trouble.needs_backup());
        if moved && then.get_ref().trouble.needs_backup() {
            return Ok(Some(then.get_ref().clone()));
        }
        let found = format!("{:?} for the host of {host_of:?}", then.get_ref().trouble);
        let expected = "the loss (Nt1, Nt2, Cut, Freeze) of the host of a server of `troubles` that \
                        needs a backup VM";
        Err(self.refuse(then, "then", found, expected))
    }

    /// What befalls whom, in ring order.
    fn strikes(
        &self,
        troubles: &Spanned<BTreeMap<Spanned<String>, TroubleKind>>,
        servers: &[&str],
    ) -> Result<Vec<Strike>, SpecError> {
        let known = servers.join(", ");
        if troubles.get_ref().is_empty() {
            let expected = format!("a trouble for at least one of {known}");
            return Err(self.refuse(troubles, "troubles", "empty".to_owned(), expected));
        }
        let mut strikes = Vec::new();
        for (server, trouble) in troubles.get_ref() {
            let Some(place) = servers.iter().position(|name| name == server.get_ref()) else {
                let found = format!("for {:?}", server.get_ref());
                return Err(self.refuse(server, "troubles", found, format!("one of {known}")));
            };
            let (server, trouble) = (server.get_ref().clone(), *trouble);
            strikes.push((place, Strike { server, trouble }));
        }
        strikes.sort_by_key(|(place, _)| *place);
        Ok(strikes.into_iter().map(|(_, strike)| strike).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 2] = ["ftp", "web1"];
    const GOOD: &str = r#"name = "fig14"
title = "Two servers"
moment = "t_im/2"
profile = "paper"
poll_ms = 100
repeats = 1
until = "function"
measures = ["function", "target"]
[[case]]
name = "st1-nt2"
title = "Web 1 stops, FTP is shut down"
troubles = { web1 = "St1", ftp = "Nt2" }
"#;

    fn refused(from: &str, to: &str) -> String {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD);
        let error = anyhow::Error::from(Experiment::parse("x.toml", &text, &SERVERS).unwrap_err());
        format!("{error:#}")
    }

    #[test]
    fn a_good_file_is_read() {
        let cases = Experiment::parse("x.toml", GOOD, &SERVERS).unwrap();
        let [case] = &cases[..] else {
            panic!("{cases:?}")
        };
        assert_eq!(case.name(), "fig14/st1-nt2");
        assert_eq!(case.targets(), ["ftp", "web1"], "in ring order");
        let at = case.moment.after_s(Duration::from_secs(10));
        assert_eq!(at, Duration::from_secs(5));
        let wants = |measure| {
            case.strikes
                .iter()
                .map(|s| case.wants(measure, s.trouble))
                .collect::<Vec<_>>()
        };
        assert_eq!(wants(Measure::Function), [true, false]);
        assert_eq!(wants(Measure::Target), [false, true]);
        assert_eq!(wants(Measure::Activation), [false, false]);
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
        insta::assert_snapshot!(refused("ftp = \"Nt2\"", "dns = \"Nt2\""),
            @r#"x.toml:12: `troubles` is for "dns"; expected one of ftp, web1"#);
        insta::assert_snapshot!(refused("{ web1 = \"St1\", ftp = \"Nt2\" }", "{}"),
            @"x.toml:12: `troubles` is empty; expected a trouble for at least one of ftp, web1");
        insta::assert_snapshot!(refused("t_im/2", "soon"),
            @r#"x.toml:3: `moment` is "soon"; expected a part of the interval such as "t_im/2", or a time such as "3.5 s""#);
        insta::assert_snapshot!(refused("poll_ms = 100", "poll_ms = 0"),
            @"x.toml:5: `poll_ms` is 0; expected 20 to 10000 ms");
        insta::assert_snapshot!(refused("title = \"Web", "then = { host_of = \"web1\", trouble = \"Cut\" }\ntitle = \"Web"),
            @r#"x.toml:11: `then` is Cut for the host of "web1"; expected the loss (Nt1, Nt2, Cut, Freeze) of the host of a server of `troubles` that needs a backup VM"#);
        insta::assert_snapshot!(refused("\"Nt2\"", "\"St1\""),
            @r#"x.toml:8: `measures` is function; expected only what some case has: St1 is cured without a backup VM, and with until = "function" servers are not awaited"#);
        insta::assert_snapshot!(refused("\"St1\"", "\"St2\""),
            @r#"x.toml:8: `measures` is target; expected only what some case has: St1 is cured without a backup VM, and with until = "function" servers are not awaited"#);
        insta::assert_snapshot!(refused("st1-nt2", "St1"),
            @r#"x.toml:10: `name` is "St1"; expected a word of lower-case letters, digits and `-`"#);
    }

    #[test]
    fn a_wrong_shape_is_refused_with_what_was_expected() {
        let text = refused("\"Nt2\"", "\"Nt9\"");
        assert!(
            text.contains("line 12") && text.contains("`St1`, `St2`, `Nt1`, `Nt2`"),
            "{text}"
        );
        let text = refused("repeats = 1\n", "");
        assert!(text.contains("missing field `repeats`"), "{text}");
        let text = refused("title = \"Two", "headline = \"Two");
        assert!(
            text.contains("line 2") && text.contains("unknown field `headline`"),
            "{text}"
        );
    }
}
