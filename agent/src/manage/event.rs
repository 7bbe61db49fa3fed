//! Events of the system log (paper, section 4.2, Fig. 12), as text that people read and
//! experiments measure.
//!
//! A log line is `hh:mm:ss.cc text`; [`Event`] is the text. `Display` and `FromStr` are
//! inverse, and a golden test pins every text: recovery times are read off these lines. Lines
//! of a background job start with `__`.
//!
//! Where the measured times come from, on the log of the server that acts for the target:
//!
//! | time | from | to |
//! |---|---|---|
//! | recovery of the function | [`Event::NetworkTrouble`] or [`Event::ServiceTrouble`] | [`Event::FunctionRecovered`] |
//! | T_v | [`Event::VmStart`] | [`Event::VmStarted`] |
//! | recovery of the target | the same trouble | [`Event::TargetRecovered`] (St1: [`Event::ServiceRecovered`]) |

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cluster::{Epoch, Mac, Priority, ServerName};

/// Defines an event by the texts around its fields: one text more than fields.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $kind:ty),* } = [$($text:literal),+];
    )*) => {
        /// Something that happened, as the system log tells it.
        #[allow(missing_docs, reason = "a field is what its name says; the text shows its place")]
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Event { $( $(#[$doc])* $name { $($field: $kind),* }, )* }

        impl fmt::Display for Event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$name { $($field),* } => {
                        write_line(f, &[$($text),+], &[$($field as &dyn fmt::Display),*])
                    } )*
                }
            }
        }

        impl FromStr for Event {
            type Err = NotAnEvent;

            fn from_str(line: &str) -> Result<Self, NotAnEvent> {
                $(
                    if let Some(event) = read_line(line, &[$($text),+], |_values| {
                        Some(Self::$name { $($field: _values.next()?.parse().ok()?),* })
                    }) {
                        return Ok(event);
                    }
                )*
                Err(NotAnEvent)
            }
        }
    };
}

events! {
    /// P1 awaits S: whole seconds since the last examination, logged once a second.
    AwaitS { seconds: u64 } = ["", ""];
    /// P1 awaits the background job, logged once a second.
    Wait {} = ["Wait"];
    /// P2 awaits R, U or D, logged once a second.
    P2Wait {} = ["P2_wait"];
    /// The node took up its work.
    Started { server: ServerName, group: usize } = ["", ": management started, group of ", ""];
    /// A management program was started.
    ManagerStarted { priority: Priority, target: ServerName } = ["", " ", ": management program started"];
    /// A management program ended.
    ManagerEnded { priority: Priority, target: ServerName } = ["", " ", ": management program ended"];

    /// The first network examination failed. Recovery times count from here.
    NetworkTrouble { target: ServerName } = ["", ": network trouble detected"];
    /// The second one failed as well.
    NetworkTroubleConfirmed { target: ServerName } = ["", ": network trouble found again"];
    /// The second one succeeded; R goes to P2.
    NetworkRecovered { target: ServerName } = ["", ": network recovered"];
    /// A service examination failed. Recovery times count from here.
    ServiceTrouble { target: ServerName, services: String } = ["", ": service trouble detected: ", ""];
    /// The target was told to restart its services.
    ServiceRestart { target: ServerName } = ["", ": service restart"];
    /// The restarted service answers; R goes to P2. St1 ends here.
    ServiceRecovered { target: ServerName } = ["", ": service recovered"];
    /// The restarted service does not answer.
    ServiceTroubleConfirmed { target: ServerName } = ["", ": service trouble found again"];
    /// A peer sees the target that this manager does not see: nobody acts.
    PeerSees { target: ServerName, peer: ServerName } = ["", ": seen by ", ", no recovery"];
    /// This manager may act for the function from now on.
    Claimed { target: ServerName, epoch: Epoch } = ["", ": claimed, epoch ", ""];
    /// Somebody else may.
    ClaimLost { target: ServerName, epoch: Epoch } = ["", ": claim lost, epoch ", ""];
    /// The share did not take the claim; it is tried again.
    ClaimFailed { target: ServerName, reason: String } = ["", ": claim failed: ", ""];

    /// The backup VM is being activated. T_v counts from here.
    VmStart { target: ServerName, vm: ServerName, host: ServerName } = ["", ": backup VM ", " start on ", ""];
    /// It runs. T_v counts to here.
    VmStarted { target: ServerName, vm: ServerName, host: ServerName } = ["", ": backup VM ", " started on ", ""];
    /// It could not be started there, another server is tried.
    VmFailed { target: ServerName, vm: ServerName, host: ServerName, reason: String } = ["", ": backup VM ", " failed on ", ": ", ""];
    /// The VIP is set on the backup VM: clients are served again.
    FunctionRecovered { target: ServerName, vip: Ipv4Addr, vm: ServerName, host: ServerName } = ["", ": function recovered, VIP ", " set on ", " at ", ""];
    /// No server can take the backup VM now.
    NoRoom { target: ServerName } = ["", ": no server has room for the backup VM"];
    /// The server that ran the backup VM is gone.
    HostLost { target: ServerName, host: ServerName } = ["", ": host of the backup VM lost: ", ""];
    /// The backup VM gave up the VIP and is gone.
    VmReleased { target: ServerName, vm: ServerName, host: ServerName } = ["", ": backup VM ", " released on ", ""];
    /// The VIP is back on the target. Recovery of the target ends here.
    TargetRecovered { target: ServerName, vip: Ipv4Addr } = ["", ": target recovered, VIP ", " set"];
    /// The target gave up its VIP.
    VipRemoved { target: ServerName, vip: Ipv4Addr } = ["__", ": VIP ", " removed"];

    /// Background job 1 checks whether the target restarts by itself.
    RestartCheck { target: ServerName } = ["__", ": restart state check"];
    /// Background job 1 judged the target stopped and wakes it.
    Wol { target: ServerName, mac: Mac } = ["__", ": stopped, WOL to ", ""];
    /// Background job 2 reboots the target.
    Reboot { target: ServerName } = ["__", ": reboot"];
    /// The target's network answers again.
    JobNetworkUp { target: ServerName } = ["__", ": network up"];
    /// The target's service answers again.
    JobServiceUp { target: ServerName } = ["__", ": service up"];
    /// The job ends well (up.file).
    JobUp { target: ServerName } = ["__", ": up"];
    /// The job gives up (down.file).
    JobDown { target: ServerName } = ["__", ": down"];

    /// P1 tells P2 that the trouble went by.
    RSent { target: ServerName, to: ServerName } = ["", ": R sent to ", ""];
    /// P1 tells P2 that the target is recovered.
    USent { target: ServerName, to: ServerName } = ["", ": U sent to ", ""];
    /// P1 tells P2 that the target cannot be recovered.
    DSent { target: ServerName, to: ServerName } = ["", ": D sent to ", ""];
    /// The flag goes to the target, which starts its management programs.
    FlagSent { target: ServerName } = ["", ": flag sent"];
    /// P2 got R.
    RReceived { target: ServerName, from: ServerName } = ["", ": R received from ", ""];
    /// P2 got U.
    UReceived { target: ServerName, from: ServerName } = ["", ": U received from ", ""];
    /// P2 got D.
    DReceived { target: ServerName, from: ServerName } = ["", ": D received from ", ""];
    /// P2 takes P1's part because P1 is gone.
    TakesPart { target: ServerName, gone: ServerName } = ["", ": P1 on ", " is gone, P2 takes its part"];
    /// An open claim of a lost owner goes on here.
    Inherited { target: ServerName, from: ServerName } = ["", ": recovery taken over from ", ""];

    /// This server holds its own VIP.
    VipHeld { vip: Ipv4Addr, epoch: Epoch } = ["VIP ", " held, epoch ", ""];
    /// This server let its own VIP go.
    VipLetGo { vip: Ipv4Addr, reason: String } = ["VIP ", " let go: ", ""];
    /// This server is out of the group and serves nobody.
    Passive { owner: ServerName, epoch: Epoch } = ["passive: function claimed by ", ", epoch ", ""];
    /// Where the golden state of a function is kept loaded.
    StandbyPlaced { target: ServerName, host: ServerName } = ["", ": standby on ", ""];
    /// The head has a golden state read into the page cache of this host.
    StateCached { target: ServerName, host: ServerName } = ["", ": state cached on ", ""];
    /// The node's own tick was late: running examinations are thrown away.
    Late { late_ms: u64 } = ["own tick late by ", " ms, examinations thrown away"];
    /// The share does not answer.
    ShareSilent { reason: String } = ["share: ", ""];
}

impl Event {
    /// Whether a background job logged it.
    pub fn is_background(&self) -> bool {
        self.to_string().starts_with("__")
    }
}

/// A line that is none of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event of the system log")]
pub struct NotAnEvent;

fn write_line(
    f: &mut fmt::Formatter<'_>,
    texts: &[&str],
    fields: &[&dyn fmt::Display],
) -> fmt::Result {
    for (at, text) in texts.iter().enumerate() {
        f.write_str(text)?;
        if let Some(field) = fields.get(at) {
            write!(f, "{field}")?;
        }
    }
    Ok(())
}

/// Takes the fields out of a line: each reaches to the next text, the last to the end.
fn read_line<T>(
    line: &str,
    texts: &[&str],
    make: impl FnOnce(&mut std::vec::IntoIter<&str>) -> Option<T>,
) -> Option<T> {
    let (first, others) = texts.split_first()?;
    let mut rest = line.strip_prefix(first)?;
    let mut values = Vec::with_capacity(others.len());
    for (at, text) in others.iter().enumerate() {
        let last = at + 1 == others.len();
        let end = if last && rest.ends_with(text) {
            rest.len() - text.len()
        } else {
            rest.find(text).filter(|_| !text.is_empty())?
        };
        values.push(&rest[..end]);
        rest = &rest[end + text.len()..];
    }
    if rest.is_empty() {
        make(&mut values.into_iter())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    /// One of each kind.
    fn all() -> Vec<Event> {
        let (ftp, web2, proxy) = (|| name("ftp"), || name("web2"), || name("proxy"));
        let (vm, epoch) = (|| name("ftpb"), Epoch(3));
        let vip = Ipv4Addr::new(172, 21, 14, 203);
        let reason = || "timed out: after 2 s".to_owned();
        vec![
            Event::AwaitS { seconds: 7 },
            Event::Wait {},
            Event::P2Wait {},
            Event::Started {
                server: ftp(),
                group: 6,
            },
            Event::ManagerStarted {
                priority: Priority::P1,
                target: ftp(),
            },
            Event::ManagerEnded {
                priority: Priority::P2,
                target: ftp(),
            },
            Event::NetworkTrouble { target: ftp() },
            Event::NetworkTroubleConfirmed { target: ftp() },
            Event::NetworkRecovered { target: ftp() },
            Event::ServiceTrouble {
                target: ftp(),
                services: "smtp imap".to_owned(),
            },
            Event::ServiceRestart { target: ftp() },
            Event::ServiceRecovered { target: ftp() },
            Event::ServiceTroubleConfirmed { target: ftp() },
            Event::PeerSees {
                target: ftp(),
                peer: web2(),
            },
            Event::Claimed {
                target: ftp(),
                epoch,
            },
            Event::ClaimLost {
                target: ftp(),
                epoch,
            },
            Event::ClaimFailed {
                target: ftp(),
                reason: reason(),
            },
            Event::VmStart {
                target: ftp(),
                vm: vm(),
                host: proxy(),
            },
            Event::VmStarted {
                target: ftp(),
                vm: vm(),
                host: proxy(),
            },
            Event::VmFailed {
                target: ftp(),
                vm: vm(),
                host: proxy(),
                reason: reason(),
            },
            Event::FunctionRecovered {
                target: ftp(),
                vip,
                vm: vm(),
                host: proxy(),
            },
            Event::NoRoom { target: ftp() },
            Event::HostLost {
                target: ftp(),
                host: proxy(),
            },
            Event::VmReleased {
                target: ftp(),
                vm: vm(),
                host: proxy(),
            },
            Event::TargetRecovered { target: ftp(), vip },
            Event::VipRemoved { target: ftp(), vip },
            Event::RestartCheck { target: ftp() },
            Event::Wol {
                target: ftp(),
                mac: Mac([0, 0, 0, 0, 0, 3]),
            },
            Event::Reboot { target: ftp() },
            Event::JobNetworkUp { target: ftp() },
            Event::JobServiceUp { target: ftp() },
            Event::JobUp { target: ftp() },
            Event::JobDown { target: ftp() },
            Event::RSent {
                target: ftp(),
                to: web2(),
            },
            Event::USent {
                target: ftp(),
                to: web2(),
            },
            Event::DSent {
                target: ftp(),
                to: web2(),
            },
            Event::FlagSent { target: ftp() },
            Event::RReceived {
                target: ftp(),
                from: web2(),
            },
            Event::UReceived {
                target: ftp(),
                from: web2(),
            },
            Event::DReceived {
                target: ftp(),
                from: web2(),
            },
            Event::TakesPart {
                target: ftp(),
                gone: web2(),
            },
            Event::Inherited {
                target: ftp(),
                from: web2(),
            },
            Event::VipHeld { vip, epoch },
            Event::VipLetGo {
                vip,
                reason: reason(),
            },
            Event::Passive {
                owner: web2(),
                epoch,
            },
            Event::StandbyPlaced {
                target: ftp(),
                host: proxy(),
            },
            Event::StateCached {
                target: ftp(),
                host: proxy(),
            },
            Event::Late { late_ms: 900 },
            Event::ShareSilent { reason: reason() },
        ]
    }

    #[test]
    fn the_texts_stay() {
        let text: String = all().iter().map(|event| format!("{event}\n")).collect();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn every_text_reads_back() {
        for event in all() {
            assert_eq!(
                event.to_string().parse::<Event>(),
                Ok(event.clone()),
                "{event}"
            );
        }
        for line in ["", "x", "__ftp", "ftp: started on", "-1"] {
            assert_eq!(line.parse::<Event>(), Err(NotAnEvent), "{line}");
        }
    }
}
