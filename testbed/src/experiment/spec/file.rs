//! Experiment files: read, checked whole before anything is started, and refused with the file, the
//! line and what was expected there.

use super::check::Check;
use super::{
    Conditions, Experiment, Measure, Moment, PAPERS_MEMORY_MB, Survey, TroubleKind, Until,
};
use ringward::cluster::{Activation, Profile, Topology};
use serde::Deserialize;
use std::collections::BTreeMap;
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
pub(super) struct File {
    pub(super) name: Spanned<String>,
    pub(super) title: String,
    pub(super) moment: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) until: Until,
    pub(super) profile: Profile,
    pub(super) poll_ms: Option<Spanned<u64>>,
    pub(super) repeats: Spanned<u32>,
    pub(super) measures: Option<Spanned<Vec<Measure>>>,
    #[serde(default)]
    pub(super) stress: BTreeMap<Spanned<String>, Spanned<u32>>,
    #[serde(rename = "case")]
    pub(super) cases: Spanned<Vec<CaseInFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseInFile {
    pub(super) name: Spanned<String>,
    pub(super) title: String,
    pub(super) activation: Option<Activation>,
    pub(super) topology: Option<Topology>,
    pub(super) stress: Option<BTreeMap<Spanned<String>, Spanned<u32>>>,
    pub(super) until: Option<Until>,
    pub(super) troubles: Option<Spanned<BTreeMap<Spanned<String>, TroubleKind>>>,
    #[serde(default)]
    pub(super) then: Vec<Spanned<ThenInFile>>,
    pub(super) survey: Option<Spanned<Survey>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThenInFile {
    pub(super) server: Option<String>,
    pub(super) host_of: Option<String>,
    pub(super) trouble: TroubleKind,
}

/// Limits of one file; beyond them a value is a slip of the pen.
pub(super) const POLL_MS: RangeInclusive<u64> = 20..=10_000;
pub(super) const REPEATS: RangeInclusive<u32> = 1..=100;
pub(super) const STRESS_MB: RangeInclusive<u32> = 1..=PAPERS_MEMORY_MB * 7 / 8;

impl Moment {
    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// How the cases of a file with troubles are timed, and what they measure.
pub(super) struct Timed {
    pub(super) moment: Moment,
    pub(super) poll: Duration,
    pub(super) measures: Vec<Measure>,
}

impl Timed {
    /// For cases that measure machines at rest.
    pub(super) const NOTHING: Self = Self {
        moment: Moment::After(Duration::ZERO),
        poll: Duration::from_millis(100),
        measures: Vec::new(),
    };
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
        let check = Check {
            origin,
            text,
            servers,
        };
        check.word(&file.name)?;
        check.range(&file.repeats, "repeats", REPEATS, "")?;
        if file.cases.get_ref().is_empty() {
            let expected = "at least one [[case]]";
            return Err(check.refuse(&file.cases, "case", "empty".to_owned(), expected));
        }
        let mut cases = file.cases.get_ref().iter();
        let timed = match cases.any(|case| case.troubles.is_some()) {
            true => check.timed(&file)?,
            false => check.untimed(&file)?,
        };
        let mut cases: Vec<Self> = Vec::new();
        for case in file.cases.get_ref() {
            check.word(&case.name)?;
            let name = case.name.get_ref();
            if cases.iter().any(|other| other.case == *name) {
                let expected = "another name for every case";
                return Err(check.refuse(&case.name, "name", format!("{name:?}"), expected));
            }
            let (strikes, survey) = check.work(case)?;
            let until = case.until.unwrap_or(file.until);
            let then = check.then(case, &strikes)?;
            let mut lost = strikes.iter().map(|strike| strike.trouble);
            let mut lost_later = then.iter().map(|then| then.trouble);
            let dead = |trouble| matches!(trouble, TroubleKind::Dead | TroubleKind::Freeze);
            if until == Until::Home && (lost.any(dead) || lost_later.any(dead)) {
                let found = "home, with a server that is Dead or frozen".to_owned();
                let expected = "until = \"function\": nothing brings it home";
                return Err(check.refuse(&case.name, "until", found, expected));
            }
            cases.push(Self {
                suite: file.name.get_ref().clone(),
                case: name.clone(),
                suite_title: file.title.clone(),
                title: case.title.clone(),
                conditions: Conditions {
                    activation: case.activation,
                    topology: case.topology,
                    stress: check.stress(case.stress.as_ref().unwrap_or(&file.stress))?,
                },
                survey,
                then,
                strikes,
                moment: timed.moment,
                until,
                profile: file.profile,
                poll: timed.poll,
                repeats: *file.repeats.get_ref(),
                measures: timed.measures.clone(),
            });
        }
        let wanted = |measure: &Measure| {
            let mut strikes = cases
                .iter()
                .flat_map(|case| case.strikes.iter().map(move |s| (case, s)));
            strikes.any(|(case, strike)| case.wants(*measure, strike.trouble))
        };
        if let (Some(measure), Some(at)) =
            (timed.measures.iter().find(|m| !wanted(m)), &file.measures)
        {
            let found = format!("{measure:?}").to_lowercase();
            let expected = "only what some case has: St1 is cured without a backup VM, and with \
                            until = \"function\" servers are not awaited";
            return Err(check.refuse(at, "measures", found, expected));
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
        insta::assert_snapshot!(refused("title = \"Web", "then = [{ host_of = \"web1\", trouble = \"Cut\" }]\ntitle = \"Web"),
            @r#"x.toml:11: `then` is Cut for host_of "web1"; expected the loss (St2, Nt1, Nt2, Cut, Dead, Freeze) of another `server`, or of the host (`host_of`) of one in trouble that needs a backup VM"#);
        insta::assert_snapshot!(refused("title = \"Web", "then = [{ server = \"ftp\", trouble = \"Cut\" }]\ntitle = \"Web"),
            @r#"x.toml:11: `then` is Cut for server "ftp"; expected the loss (St2, Nt1, Nt2, Cut, Dead, Freeze) of another `server`, or of the host (`host_of`) of one in trouble that needs a backup VM"#);
        insta::assert_snapshot!(refused("title = \"Web", "stress = { dns = 512 }\ntitle = \"Web"),
            @r#"x.toml:11: `stress` is for "dns"; expected one of ftp, web1"#);
        insta::assert_snapshot!(refused("title = \"Web", "stress = { ftp = 8192 }\ntitle = \"Web"),
            @"x.toml:11: `stress` is 8192; expected 1 to 7168 MB, as on the paper's servers");
        insta::assert_snapshot!(refused("title = \"Web", "survey = \"machines\"\ntitle = \"Web"),
            @"x.toml:10: `troubles` is given with a survey; expected what befalls which server, or a `survey` instead");
        insta::assert_snapshot!(refused("troubles = { web1 = \"St1\", ftp = \"Nt2\" }", "survey = { activation = { of = \"ftp\", on = \"ftp\", under = [\"none\"] } }"),
            @"x.toml:3: `moment` is given; expected nothing of it in a file without troubles");
        insta::assert_snapshot!(refused("moment = \"t_im/2\"\n", ""),
            @r#"x.toml:8: `moment` is missing; expected a part of the interval such as "t_im/2", or a time such as "3.5 s""#);
        insta::assert_snapshot!(refused("until = \"function\"\nmeasures = [\"function\", \"target\"]\n[[case]]\nname = \"st1-nt2\"\ntitle = \"Web 1 stops, FTP is shut down\"\ntroubles = { web1 = \"St1\", ftp = \"Nt2\" }", "measures = [\"function\"]\n[[case]]\nname = \"dead\"\ntitle = \"FTP is gone\"\ntroubles = { ftp = \"Dead\" }"),
            @r#"x.toml:9: `until` is home, with a server that is Dead or frozen; expected until = "function": nothing brings it home"#);
        insta::assert_snapshot!(refused("\"Nt2\"", "\"St1\""),
            @r#"x.toml:8: `measures` is function; expected only what some case has: St1 is cured without a backup VM, and with until = "function" servers are not awaited"#);
        insta::assert_snapshot!(refused("\"St1\"", "\"St2\""),
            @r#"x.toml:8: `measures` is target; expected only what some case has: St1 is cured without a backup VM, and with until = "function" servers are not awaited"#);
        insta::assert_snapshot!(refused("st1-nt2", "St1"),
            @r#"x.toml:10: `name` is "St1"; expected a word of lower-case letters, digits and `-`"#);
    }

    #[test]
    fn a_survey_needs_two_servers_and_has_no_trouble() {
        let refused = |survey: &str| {
            let text = format!(
                "name = \"x\"\ntitle = \"X\"\nprofile = \"paper\"\nrepeats = 1\n[[case]]\nname = \"y\"\n\
                 title = \"Y\"\n{survey}\n"
            );
            let error = Experiment::parse("x.toml", &text, &SERVERS).map(drop);
            error.map_or_else(|error| error.to_string(), |()| "good".to_owned())
        };
        let on = |on: &str| {
            format!(
                "survey = {{ activation = {{ of = \"ftp\", on = \"{on}\", under = [\"jobs\"] }} }}"
            )
        };
        assert_eq!(refused(&on("web1")), "good");
        insta::assert_snapshot!(refused(&on("ftp")),
            @r#"x.toml:8: `survey` is of "ftp" on "ftp"; expected two of ftp, web1"#);
        let then = "then = [{ server = \"ftp\", trouble = \"Cut\" }]";
        insta::assert_snapshot!(refused(&format!("{then}\n{}", on("web1"))),
            @"x.toml:8: `then` is given; expected nothing that follows a survey");
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
