//! What must hold after every experiment, whatever it tested.
//!
//! * At most one MAC answers for a VIP at any time, and a VIP moves only as the trouble explains:
//!   away and, when the target is awaited, home again, by the LAN capture.
//! * At most one running backup VM for a function, and none when all is at home.
//! * The ring is then as at the start: group, separation, operation and trouble files, VIPs at home.
//! * Epochs only rise and no claim disappears.

use super::ring::RingState;
use super::site::SiteServer;
use super::spec::{Strike, Until};
use crate::report::clock;
use crate::report::owners::Owners;
use crate::report::story::Story;
use ringward::cluster::{Epoch, Mac};
use ringward::manage::event::Event;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a run left for the audit.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// All servers.
    pub servers: &'a [SiteServer],
    /// What was done to whom.
    pub strikes: &'a [Strike],
    /// How far the run went.
    pub until: Until,
    /// Looks at the ring, the first before the trouble, the last after the recovery.
    pub looks: &'a [(Duration, RingState)],
    /// Who answered for which VIP; `None` when the capture could not be read.
    pub owners: Option<&'a Owners>,
    /// The system logs.
    pub story: &'a Story,
}

/// Which rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// At most one MAC for a VIP.
    OneOwner,
    /// At most one running VM for a function.
    OneVm,
    /// The ring as at the start.
    Ring,
    /// Epochs only rise.
    Epochs,
    /// The audit lacks what it needs.
    Evidence,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneOwner => "one owner of a VIP",
            Self::OneVm => "one VM for a function",
            Self::Ring => "the ring as at the start",
            Self::Epochs => "epochs only rise",
            Self::Evidence => "evidence",
        })
    }
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Everything that does not hold; empty after a good run.
#[must_use]
pub fn audit(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |rule, texts: Vec<String>| {
        findings.extend(texts.into_iter().map(|text| Finding { rule, text }));
    };
    match evidence.owners {
        Some(owners) => found(Rule::OneOwner, one_owner(evidence, owners)),
        None => found(
            Rule::Evidence,
            vec!["the LAN capture could not be read".to_owned()],
        ),
    }
    found(Rule::OneVm, one_vm(evidence));
    found(Rule::Epochs, epochs(evidence));
    match evidence.looks {
        [_, .., _] if evidence.until == Until::Function => {}
        [(_, before), .., (_, after)] => found(Rule::Ring, ring(evidence, before, after)),
        _ => found(
            Rule::Evidence,
            vec!["the ring was not looked at twice".to_owned()],
        ),
    }
    findings
}

fn one_owner(evidence: &Evidence<'_>, owners: &Owners) -> Vec<String> {
    let mut texts: Vec<String> = owners
        .overlaps()
        .into_iter()
        .map(|(vip, first, second)| {
            format!(
                "{vip} was claimed by {} until {} and by {} from {}",
                first.mac,
                clock::display(first.until),
                second.mac,
                clock::display(second.from)
            )
        })
        .collect();
    for server in evidence.servers {
        let succession = owners.succession(server.vip);
        let mut strikes = evidence.strikes.iter();
        let moves = strikes.any(|s| s.server == server.name && s.trouble.needs_backup());
        let explained = match succession[..] {
            [] => !moves,
            [only] => only == server.mac,
            [first, away, last] => {
                moves && first == server.mac && last == server.mac && away != server.mac
            }
            [first, away] => {
                moves
                    && evidence.until == Until::Function
                    && first == server.mac
                    && away != server.mac
            }
            _ => false,
        };
        if !explained {
            let path = succession
                .iter()
                .map(Mac::to_string)
                .collect::<Vec<_>>()
                .join(" -> ");
            let should = match evidence.until {
                _ if !moves => "staying at home",
                Until::Function => "away",
                Until::Home => "away and home again",
            };
            let was = if path.is_empty() {
                "not claimed by anybody".to_owned()
            } else {
                path
            };
            texts.push(format!(
                "{} of {}: {was}; expected {should}",
                server.vip, server.name
            ));
        }
    }
    texts
}

fn one_vm(evidence: &Evidence<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    for (at, look) in evidence.looks {
        let mut hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (server, vms) in &look.vms {
            for vm in vms {
                hosts.entry(vm).or_default().push(server);
            }
        }
        for (vm, hosts) in hosts {
            if hosts.len() > 1 {
                let at = clock::display(*at);
                texts.push(format!("{vm} ran on {} at {at}", hosts.join(" and ")));
            }
        }
    }
    let last = evidence.looks.last().map(|(_, look)| &look.vms);
    let last = last.filter(|_| evidence.until == Until::Home);
    for (server, vms) in last.into_iter().flatten() {
        texts.extend(
            vms.iter()
                .map(|vm| format!("{vm} still runs on {server} at the end")),
        );
    }
    texts
}

fn epochs(evidence: &Evidence<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    for pair in evidence.looks.windows(2) {
        for (function, before) in &pair[0].1.claims {
            let gone = |epoch: &&u64| {
                !pair[1]
                    .1
                    .claims
                    .get(function)
                    .is_some_and(|after| after.contains(epoch))
            };
            let at = clock::display(pair[1].0);
            texts.extend(
                before
                    .iter()
                    .filter(gone)
                    .map(|epoch| format!("claim {epoch} of {function} is gone at {at}")),
            );
        }
    }
    for (server, log) in &evidence.story.logs {
        let mut highest = Epoch(0);
        for entry in log {
            let Event::VipHeld { epoch, .. } = entry.event else {
                continue;
            };
            if epoch < highest {
                let at = clock::display(entry.at);
                texts.push(format!(
                    "{server} held its VIP under epoch {epoch} after {highest}, at {at}"
                ));
            }
            highest = highest.max(epoch);
        }
    }
    texts
}

fn ring(evidence: &Evidence<'_>, before: &RingState, after: &RingState) -> Vec<String> {
    let mut texts: Vec<String> = after.irregular(evidence.servers).into_iter().collect();
    for (name, was) in &before.files {
        let is = after.files.get(name).map_or("", String::as_str);
        if was != is {
            let line = was.lines().zip(is.lines()).find(|(a, b)| a != b);
            let what = match line {
                Some((was, is)) => format!("{was:?} became {is:?}"),
                None => format!(
                    "{} lines became {}",
                    was.lines().count(),
                    is.lines().count()
                ),
            };
            texts.push(format!("the {name} file changed: {what}"));
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ring::tests::{regular, two_servers};
    use crate::experiment::spec::TroubleKind;
    use crate::report::owners::tests::{BACKUP, HOME, VIP, claims};
    use crate::report::story::Entry;

    const CLEAN: [(u64, Mac); 3] = [(0, HOME), (10_000, BACKUP), (60_000, HOME)];

    /// The findings of a run of `trouble` on ftp with these claims of its VIP, after `change`.
    fn findings(
        trouble: TroubleKind,
        macs: &[(u64, Mac)],
        change: impl FnOnce(&mut Vec<(Duration, RingState)>, &mut Story),
    ) -> String {
        findings_until(Until::Home, trouble, macs, change)
    }

    fn findings_until(
        until: Until,
        trouble: TroubleKind,
        macs: &[(u64, Mac)],
        change: impl FnOnce(&mut Vec<(Duration, RingState)>, &mut Story),
    ) -> String {
        let mut looks: Vec<_> = [0, 30, 90]
            .map(|at| (Duration::from_secs(at), regular()))
            .into();
        let mut story = Story::default();
        change(&mut looks, &mut story);
        let owners = Owners::read(&claims(macs)[..], &[VIP], Duration::ZERO).unwrap();
        let evidence = Evidence {
            servers: &two_servers(),
            strikes: &[Strike {
                server: "ftp".to_owned(),
                trouble,
            }],
            until,
            looks: &looks,
            owners: Some(&owners),
            story: &story,
        };
        audit(&evidence)
            .iter()
            .map(|finding| format!("{finding}\n"))
            .collect()
    }

    #[test]
    fn a_good_run_has_no_findings() {
        assert_eq!(findings(TroubleKind::Nt2, &CLEAN, |_, _| {}), "");
        assert_eq!(findings(TroubleKind::St1, &CLEAN[..1], |_, _| {}), "");
    }

    #[test]
    fn where_targets_are_not_awaited_a_function_may_stay_away() {
        let away = |macs: &[(u64, Mac)]| {
            findings_until(Until::Function, TroubleKind::Nt2, macs, |looks, _| {
                let vms = [("web1".to_owned(), ["ftpb".to_owned()].into())];
                looks[2].1.vms = vms.into();
                looks[2].1.files.clear();
            })
        };
        assert_eq!(away(&CLEAN[..2]), "");
        assert_eq!(away(&CLEAN), "", "it may be back already");
        insta::assert_snapshot!(away(&[(0, BACKUP), (10_000, HOME)]), @"one owner of a VIP: 172.21.14.203 of ftp: 00:00:00:00:01:03 -> 00:00:00:00:00:03; expected away");
    }

    #[test]
    fn two_owners_and_unexplained_moves_are_found() {
        let both = [
            (0, HOME),
            (10_000, BACKUP),
            (10_500, HOME),
            (11_000, BACKUP),
            (60_000, HOME),
        ];
        insta::assert_snapshot!(findings(TroubleKind::Nt2, &both, |_, _| {}), @"one owner of a VIP: 172.21.14.203 was claimed by 00:00:00:00:01:03 until 00:00:11.00 and by 00:00:00:00:00:03 from 00:00:10.50");
        insta::assert_snapshot!(findings(TroubleKind::St1, &CLEAN, |_, _| {}), @"one owner of a VIP: 172.21.14.203 of ftp: 00:00:00:00:00:03 -> 00:00:00:00:01:03 -> 00:00:00:00:00:03; expected staying at home");
        insta::assert_snapshot!(findings(TroubleKind::Nt2, &CLEAN[..2], |_, _| {}), @"one owner of a VIP: 172.21.14.203 of ftp: 00:00:00:00:00:03 -> 00:00:00:00:01:03; expected away and home again");
        insta::assert_snapshot!(findings(TroubleKind::Nt2, &[], |_, _| {}), @"one owner of a VIP: 172.21.14.203 of ftp: not claimed by anybody; expected away and home again");
    }

    #[test]
    fn vms_files_and_epochs_are_checked() {
        let run = |vms: [&[&str]; 2]| {
            let hosts = ["web1", "ftp"].into_iter().zip(vms);
            hosts
                .map(|(host, vms)| {
                    (
                        host.to_owned(),
                        vms.iter().map(|vm| (*vm).to_owned()).collect(),
                    )
                })
                .collect()
        };
        let text = findings(TroubleKind::Nt2, &CLEAN, |looks, story| {
            looks[1].1.vms = run([&["ftpb"], &["ftpb"]]);
            looks[2].1.vms = run([&["ftpb"], &[]]);
            let _ = looks[2]
                .1
                .files
                .insert("operation".to_owned(), "P1 ftp web1 web1.dat\n".to_owned());
            looks[2].1.claims.clear();
            let held = |seconds, epoch| Entry {
                at: Duration::from_secs(seconds),
                event: Event::VipHeld {
                    vip: VIP,
                    epoch: Epoch(epoch),
                },
            };
            story
                .logs
                .insert("ftp".to_owned(), vec![held(1, 4), held(2, 3)]);
        });
        insta::assert_snapshot!(text, @r#"
        one VM for a function: ftpb ran on ftp and web1 at 00:00:30.00
        one VM for a function: ftpb still runs on web1 at the end
        epochs only rise: claim 1 of ftp is gone at 00:01:30.00
        epochs only rise: claim 2 of ftp is gone at 00:01:30.00
        epochs only rise: ftp held its VIP under epoch 3 after 4, at 00:00:02.00
        the ring as at the start: the operation file changed: "P1 web1 ftp ftp.dat" became "P1 ftp web1 web1.dat"
        "#);
    }

    #[test]
    fn missing_evidence_is_a_finding() {
        let evidence = Evidence {
            servers: &[],
            strikes: &[],
            until: Until::Home,
            looks: &[],
            owners: None,
            story: &Story::default(),
        };
        assert_eq!(audit(&evidence).len(), 2);
    }
}
