//! What the values of an experiment file must be, beyond their types.

use super::file::{CaseInFile, File, POLL_MS, STRESS_MB, ThenInFile, Timed};
use super::{Moment, SpecError, Strike, Survey, Then, TroubleKind, Whom};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

/// A file that is being checked.
pub(super) struct Check<'a> {
    pub(super) origin: &'a str,
    pub(super) text: &'a str,
    /// Names that a target may have, in ring order.
    pub(super) servers: &'a [&'a str],
}

impl Check<'_> {
    pub(super) fn refuse<T>(
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

    pub(super) fn word(&self, name: &Spanned<String>) -> Result<(), SpecError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let text = name.get_ref();
        if text.is_empty() || !text.chars().all(plain) {
            let expected = "a word of lower-case letters, digits and `-`";
            return Err(self.refuse(name, "name", format!("{text:?}"), expected));
        }
        Ok(())
    }

    pub(super) fn range<T: PartialOrd + Copy + fmt::Display>(
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

    /// What a file with troubles must say for all of them.
    pub(super) fn timed(&self, file: &File) -> Result<Timed, SpecError> {
        let missing =
            |field, expected: &str| self.refuse(&file.cases, field, "missing".to_owned(), expected);
        let moments = "a part of the interval such as \"t_im/2\", or a time such as \"3.5 s\"";
        let at = file
            .moment
            .as_ref()
            .ok_or_else(|| missing("moment", moments))?;
        let Some(moment) = Moment::parse(at.get_ref()) else {
            let found = format!("{:?}", at.get_ref());
            return Err(self.refuse(at, "moment", found, moments));
        };
        let poll = file.poll_ms.as_ref();
        let poll =
            poll.ok_or_else(|| missing("poll_ms", "the interval of the client's accesses"))?;
        self.range(poll, "poll_ms", POLL_MS, " ms")?;
        let some = "at least one of function, target, disconnection, activation";
        let measures = file
            .measures
            .as_ref()
            .ok_or_else(|| missing("measures", some))?;
        if measures.get_ref().is_empty() {
            return Err(self.refuse(measures, "measures", "empty".to_owned(), some));
        }
        Ok(Timed {
            moment,
            poll: Duration::from_millis(*poll.get_ref()),
            measures: measures.get_ref().clone(),
        })
    }

    /// A file that measures machines at rest only says nothing about troubles.
    pub(super) fn untimed(&self, file: &File) -> Result<Timed, SpecError> {
        let refuse = |field, at: Option<usize>| match at {
            None => Ok(()),
            Some(at) => {
                let expected = "nothing of it in a file without troubles";
                let at = Spanned::new(at..at, ());
                Err(self.refuse(&at, field, "given".to_owned(), expected))
            }
        };
        refuse("moment", file.moment.as_ref().map(|of| of.span().start))?;
        refuse("poll_ms", file.poll_ms.as_ref().map(|of| of.span().start))?;
        refuse("measures", file.measures.as_ref().map(|of| of.span().start))?;
        Ok(Timed::NOTHING)
    }

    /// Either troubles, or something to measure without any.
    pub(super) fn work(
        &self,
        case: &CaseInFile,
    ) -> Result<(Vec<Strike>, Option<Survey>), SpecError> {
        match (&case.troubles, &case.survey) {
            (Some(troubles), None) => Ok((self.strikes(troubles)?, None)),
            (None, Some(survey)) => {
                if let Some(then) = case.then.first() {
                    let expected = "nothing that follows a survey";
                    return Err(self.refuse(then, "then", "given".to_owned(), expected));
                }
                self.survey(survey)?;
                Ok((Vec::new(), Some(survey.get_ref().clone())))
            }
            (both, _) => {
                let found = if both.is_some() {
                    "given with a survey"
                } else {
                    "missing"
                };
                let expected = "what befalls which server, or a `survey` instead";
                Err(self.refuse(&case.name, "troubles", found.to_owned(), expected))
            }
        }
    }

    fn survey(&self, survey: &Spanned<Survey>) -> Result<(), SpecError> {
        let Survey::Activation { of, on, under } = survey.get_ref() else {
            return Ok(());
        };
        let found = format!("of {of:?} on {on:?}");
        if ![of, on]
            .iter()
            .all(|name| self.servers.contains(&name.as_str()))
            || of == on
        {
            let expected = format!("two of {}", self.servers.join(", "));
            return Err(self.refuse(survey, "survey", found, expected));
        }
        if under.is_empty() {
            let expected = "at least one of none, downloads, uploads, jobs";
            return Err(self.refuse(survey, "survey", "under nothing".to_owned(), expected));
        }
        Ok(())
    }

    fn known(&self, server: &Spanned<String>, field: &'static str) -> Result<usize, SpecError> {
        let name = server.get_ref();
        let place = self.servers.iter().position(|known| known == name);
        place.ok_or_else(|| {
            let expected = format!("one of {}", self.servers.join(", "));
            self.refuse(server, field, format!("for {name:?}"), expected)
        })
    }

    pub(super) fn stress(
        &self,
        stress: &BTreeMap<Spanned<String>, Spanned<u32>>,
    ) -> Result<BTreeMap<String, u32>, SpecError> {
        let of = |(server, mb): (&Spanned<String>, &Spanned<u32>)| {
            self.known(server, "stress")?;
            self.range(mb, "stress", STRESS_MB, " MB, as on the paper's servers")?;
            Ok((server.get_ref().clone(), *mb.get_ref()))
        };
        stress.iter().map(of).collect()
    }

    /// What follows: only a backup VM has a host, and no server is lost twice.
    pub(super) fn then(
        &self,
        case: &CaseInFile,
        strikes: &[Strike],
    ) -> Result<Vec<Then>, SpecError> {
        let mut lost = strikes.to_vec();
        let mut all = Vec::new();
        for then in &case.then {
            let ThenInFile {
                server,
                host_of,
                trouble,
            } = then.get_ref();
            let moved = |name: &String| {
                let mut lost = lost.iter();
                lost.any(|strike| strike.server == *name && strike.trouble.needs_backup())
            };
            let whom = match (server, host_of) {
                (Some(server), None) => {
                    let standing = lost.iter().all(|strike| strike.server != *server);
                    let known = standing && self.servers.contains(&server.as_str());
                    known.then(|| Whom::Server(server.clone()))
                }
                (None, Some(of)) => moved(of).then(|| Whom::HostOf(of.clone())),
                _ => None,
            };
            let Some(whom) = whom.filter(|_| trouble.needs_backup()) else {
                let words = |key, name: &Option<String>| {
                    name.as_ref().map(|name| format!(" for {key} {name:?}"))
                };
                let found = [words("server", server), words("host_of", host_of)];
                let found: String = found.into_iter().flatten().collect();
                let expected = "the loss (St2, Nt1, Nt2, Cut, Dead, Freeze) of another `server`, or of the \
                                host (`host_of`) of one in trouble that needs a backup VM";
                return Err(self.refuse(then, "then", format!("{trouble}{found}"), expected));
            };
            if let Whom::Server(server) = &whom {
                lost.push(Strike {
                    server: server.clone(),
                    trouble: *trouble,
                });
            }
            all.push(Then {
                whom,
                trouble: *trouble,
            });
        }
        Ok(all)
    }

    /// What befalls whom, in ring order.
    fn strikes(
        &self,
        troubles: &Spanned<BTreeMap<Spanned<String>, TroubleKind>>,
    ) -> Result<Vec<Strike>, SpecError> {
        if troubles.get_ref().is_empty() {
            let known = self.servers.join(", ");
            let expected = format!("a trouble for at least one of {known}");
            return Err(self.refuse(troubles, "troubles", "empty".to_owned(), expected));
        }
        let mut strikes = Vec::new();
        for (server, trouble) in troubles.get_ref() {
            let place = self.known(server, "troubles")?;
            let (server, trouble) = (server.get_ref().clone(), *trouble);
            strikes.push((place, Strike { server, trouble }));
        }
        strikes.sort_by_key(|(place, _)| *place);
        Ok(strikes.into_iter().map(|(_, strike)| strike).collect())
    }
}
