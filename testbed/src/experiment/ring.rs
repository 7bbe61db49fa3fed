//! The state of the ring: what it is before a trouble and must be again afterwards.

use super::site::{self, Site, SiteServer, node};
use ringward::cluster::{Activation, Condition, Group, Operation};
use ringward::observe::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long a look at one machine may take, even when all are busy.
const LOOK: Duration = Duration::from_secs(60);

/// Prints the management files and the claims, each after a line `== name`.
const SHARE_SCRIPT: &str = "cd /share || exit 1
for f in group separation operation trouble condition; do echo \"== $f\"; cat $f 2>/dev/null; done
echo '== claims'; ls claims/*/*.claim 2>/dev/null; true";

/// Prints the addresses of a server, the state of its VMs from libvirt's own status files, and
/// what its agent says.
const SERVER_SCRIPT: &str = "ip -4 -o addr show; echo '== vms'
grep -H -o \"domstatus state='[a-z]*'\" /run/libvirt/qemu/*.xml 2>/dev/null
echo '== status'; cat /run/ringward/status.json 2>/dev/null; true";

/// A manager whose target is well is in this mode.
const REGULAR: &str = "regular";

/// What the share and the servers say at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RingState {
    /// The management files by name, without their trailers.
    pub files: BTreeMap<String, String>,
    /// The real server condition file: the loads that placement goes by.
    pub condition: Condition,
    /// Epochs claimed, by function.
    pub claims: BTreeMap<String, BTreeSet<u64>>,
    /// IPv4 addresses of every server that answers.
    pub addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Backup VMs that run, by server. Those that are loaded and paused do not count.
    pub vms: BTreeMap<String, BTreeSet<String>>,
    /// What the agents say about themselves, where they run.
    pub agents: BTreeMap<String, Status>,
}

impl RingState {
    /// Looks at file server 1 and at every server that answers.
    ///
    /// # Errors
    /// When file server 1 does not answer. A server that does not answer is left out.
    pub fn look(site: &dyn Site) -> anyhow::Result<Self> {
        let share = site::output(site, node::FILE1, &["sh", "-c", SHARE_SCRIPT], LOOK)?;
        let mut state = Self::of_share(&share);
        for server in site.servers() {
            if !site.answers(&server.name) {
                continue;
            }
            if let Ok(text) = site::output(site, &server.name, &["sh", "-c", SERVER_SCRIPT], LOOK) {
                state.add_server(&server.name, &text);
            }
        }
        Ok(state)
    }

    fn of_share(text: &str) -> Self {
        let mut state = Self::default();
        for (name, body) in sections(text) {
            if name == "claims" {
                for line in body.lines() {
                    let mut parts = line.rsplit('/');
                    let epoch = parts
                        .next()
                        .and_then(|file| file.strip_suffix(".claim"))
                        .and_then(|epoch| epoch.parse().ok());
                    if let (Some(epoch), Some(function)) = (epoch, parts.next()) {
                        state
                            .claims
                            .entry(function.to_owned())
                            .or_default()
                            .insert(epoch);
                    }
                }
            } else {
                let lines = body.lines().filter(|line| !line.starts_with('#'));
                let text: String = lines.map(|line| format!("{line}\n")).collect();
                match name {
                    // It changes all the time; one that cannot be read tells nothing.
                    "condition" => {
                        state.condition = Condition::parse(name, &text).unwrap_or_default();
                    }
                    _ => drop(state.files.insert(name.to_owned(), text)),
                }
            }
        }
        state
    }

    fn add_server(&mut self, server: &str, text: &str) {
        let (addresses, rest) = text.split_once("== vms").unwrap_or((text, ""));
        let (vms, status) = rest.split_once("== status").unwrap_or((rest, ""));
        let address = |line: &str| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "inet");
            words.nth(1)?.split('/').next()?.parse().ok()
        };
        self.addresses.insert(
            server.to_owned(),
            addresses.lines().filter_map(address).collect(),
        );
        let running = |line: &str| {
            let (file, state) = line.split_once(".xml:")?;
            let name = file.rsplit('/').next()?;
            state.contains("'running'").then(|| name.to_owned())
        };
        self.vms
            .insert(server.to_owned(), vms.lines().filter_map(running).collect());
        if let Ok(status) = serde_json::from_str(status) {
            self.agents.insert(server.to_owned(), status);
        }
    }

    /// Why the ring is not regular; `None` when it is: every server in the group, none
    /// separated, no function on a backup VM, every VIP on its own server and nowhere else,
    /// every management program in Regular mode.
    #[must_use]
    pub fn irregular(&self, servers: &[SiteServer]) -> Option<String> {
        let file = |name: &str| self.files.get(name).map_or("", String::as_str);
        let group = match Group::parse("group", file("group")) {
            Ok(group) => group,
            Err(error) => return Some(error.to_string()),
        };
        let missing: Vec<&str> = servers
            .iter()
            .map(|server| server.name.as_str())
            .filter(|name| {
                !group
                    .members()
                    .iter()
                    .any(|member| member.name.as_str() == *name)
            })
            .collect();
        if !missing.is_empty() {
            return Some(format!("not in the group: {}", missing.join(", ")));
        }
        for name in ["separation", "trouble"] {
            if let Some(line) = file(name).lines().find(|line| !line.trim().is_empty()) {
                return Some(format!("the {name} file says: {line}"));
            }
        }
        servers.iter().find_map(|server| {
            self.vip_astray(server)
                .or_else(|| self.agent_busy(&server.name))
        })
    }

    /// Why a backup VM of one of `functions` would take longer to activate than its settings mean: no host has
    /// its golden state at hand yet, or only one of those whose functions these are and that are struck. Where a
    /// state that is loaded has one host only (`standby`), that one is as it is.
    #[must_use]
    pub fn unready(
        &self,
        servers: &[SiteServer],
        functions: &[String],
        activation: Activation,
    ) -> Option<String> {
        let stays = |host: &String| match activation {
            Activation::Standby => true,
            Activation::Restore => !functions.contains(host),
        };
        let at_hand = |server: &&SiteServer| {
            let hosts = self.agents.iter().filter(|(host, _)| stays(host));
            let mut vms = hosts.flat_map(|(_, agent)| &agent.vms);
            vms.any(|vm| vm.name.as_str() == server.vm)
        };
        let mut wanted = servers.iter().filter(|s| functions.contains(&s.name));
        let lacking = wanted.find(|server| !at_hand(server))?;
        let place = match activation {
            Activation::Standby => "nowhere",
            Activation::Restore => "on no server that is not struck",
        };
        Some(format!(
            "the golden state of {} is at hand {place}",
            lacking.vm
        ))
    }

    /// Why the agent of `server` is not simply watching its neighbours.
    fn agent_busy(&self, server: &str) -> Option<String> {
        let Some(agent) = self.agents.get(server) else {
            return Some(format!("no agent runs on {server}"));
        };
        let operation = self.files.get("operation").map_or("", String::as_str);
        let operation = Operation::parse("operation", operation).unwrap_or_default();
        // In a star all but one have nothing to manage.
        let due = operation
            .managers()
            .any(|manager| manager.as_str() == server);
        if due && agent.managers.is_empty() {
            return Some(format!("{server} manages nobody"));
        }
        agent
            .managers
            .iter()
            .find(|manager| !manager.mode.eq_ignore_ascii_case(REGULAR))
            .map(|m| {
                format!(
                    "{} of {} on {server} is in mode {}",
                    m.priority, m.target, m.mode
                )
            })
    }

    /// Why the VIP of `server` is not at home and only there.
    fn vip_astray(&self, server: &SiteServer) -> Option<String> {
        let (name, vip) = (&server.name, server.vip);
        match self.addresses.get(name) {
            None => return Some(format!("{name} does not answer")),
            Some(addresses) if !addresses.contains(&vip) => {
                return Some(format!("{name} does not hold its VIP {vip}"));
            }
            Some(_) => {}
        }
        let elsewhere = |(other, addresses): (&String, &BTreeSet<Ipv4Addr>)| {
            (other != name && addresses.contains(&vip))
                .then(|| format!("{other} holds {vip}, the VIP of {name}"))
        };
        self.addresses.iter().find_map(elsewhere)
    }
}

/// The parts of a text of which each starts with a line `== name`.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("== ")
        .skip(1)
        .filter_map(|part| part.split_once('\n'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ringward::cluster::ServerType;

    pub(crate) fn server(name: &str, last: u8, daemon: &str) -> SiteServer {
        SiteServer {
            name: name.to_owned(),
            vm: format!("{name}b"),
            ip: Ipv4Addr::new(172, 21, 14, last),
            vip: Ipv4Addr::new(172, 21, 14, 200 + last),
            mac: ringward::cluster::Mac([0, 0, 0, 0, 0, last]),
            daemons: vec![daemon.parse().unwrap()],
            server_type: ServerType::Network,
        }
    }

    pub(crate) fn two_servers() -> Vec<SiteServer> {
        vec![server("web1", 2, "apache2"), server("ftp", 3, "vsftpd")]
    }

    pub(crate) const SHARE: &str = "\
== group
2 web1 web1.dat
3 ftp ftp.dat
# ringward len=31 crc32=00000000
== separation
# ringward len=0 crc32=00000000
== operation
P1 web1 ftp ftp.dat
== trouble
== condition
web1 0 40.00 30.00 50.00
ftp 1 30.00 20.00 40.00
== claims
claims/ftp/1.claim
claims/ftp/2.claim
";

    pub(crate) fn addresses(last: u8) -> String {
        let vm = if last == 2 { "ftpb" } else { "web1b" };
        format!(
            "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n\
             2: br0    inet 172.21.14.{last}/24 brd 172.21.14.255 scope global br0\n\
             2: br0    inet 172.21.14.20{last}/32 scope global dynamic br0\\  valid_lft 3sec\n\
             == vms\n== status\n{{\"managers\": [\
             {{\"priority\": \"P1\", \"target\": \"mail\", \"mode\": \"Regular\"}}], \
             \"vms\": [{{\"name\": \"{vm}\", \"state\": \"standby\"}}]}}\n"
        )
    }

    pub(crate) fn regular() -> RingState {
        let mut state = RingState::of_share(SHARE);
        state.add_server("web1", &addresses(2));
        state.add_server("ftp", &addresses(3));
        state
    }

    #[test]
    fn a_regular_ring_is_recognised() {
        let state = regular();
        assert_eq!(state.irregular(&two_servers()), None);
        assert_eq!(state.claims["ftp"], [1, 2].into());
        assert_eq!(state.files["operation"], "P1 web1 ftp ftp.dat\n");
        assert_eq!(state.condition.servers.len(), 2);
    }

    #[test]
    fn a_state_that_is_nowhere_at_hand_is_named() {
        let targets = ["web1".to_owned(), "ftp".to_owned()];
        let mut state = regular();
        let unready = |state: &RingState, targets: &[String], activation| {
            state.unready(&two_servers(), targets, activation)
        };
        assert_eq!(unready(&state, &targets, Activation::Standby), None);
        let lost = unready(&state, &targets, Activation::Restore).unwrap();
        assert_eq!(
            lost,
            "the golden state of web1b is at hand on no server that is not struck"
        );
        assert_eq!(unready(&state, &targets[..1], Activation::Restore), None);
        state.agents.remove("web1");
        let reason = unready(&state, &targets, Activation::Standby).unwrap();
        assert_eq!(reason, "the golden state of ftpb is at hand nowhere");
        assert_eq!(unready(&state, &targets[..1], Activation::Standby), None);
    }

    #[test]
    fn every_irregularity_is_named() {
        let reason = |change: fn(&mut RingState)| {
            let mut state = regular();
            change(&mut state);
            state.irregular(&two_servers()).unwrap()
        };
        let reasons = [
            reason(|s| {
                drop(
                    s.files
                        .insert("group".to_owned(), "2 web1 web1.dat\n".to_owned()),
                )
            }),
            reason(|s| {
                drop(
                    s.files
                        .insert("trouble".to_owned(), "ftpb ftp web1\n".to_owned()),
                )
            }),
            reason(|s| drop(s.addresses.remove("ftp"))),
            reason(|s| drop(s.addresses.insert("web1".to_owned(), BTreeSet::new()))),
            reason(|s| {
                let vip = Ipv4Addr::new(172, 21, 14, 203);
                s.addresses
                    .entry("web1".to_owned())
                    .or_default()
                    .insert(vip);
            }),
            reason(|s| drop(s.agents.remove("web1"))),
            reason(|s| {
                s.agents
                    .values_mut()
                    .for_each(|a| a.managers[0].mode = "Wait".to_owned())
            }),
        ];
        insta::assert_snapshot!(reasons.join("\n"), @r"
        not in the group: ftp
        the trouble file says: ftpb ftp web1
        ftp does not answer
        web1 does not hold its VIP 172.21.14.202
        web1 holds 172.21.14.203, the VIP of ftp
        no agent runs on web1
        P1 of mail on web1 is in mode Wait
        ");
    }

    #[test]
    fn only_vms_that_run_count() {
        let mut state = RingState::default();
        state.add_server(
            "web1",
            "== vms\n/run/libvirt/qemu/ftpb.xml:domstatus state='running'\n\
             /run/libvirt/qemu/mailb.xml:domstatus state='paused'\n",
        );
        assert_eq!(state.vms["web1"], ["ftpb".to_owned()].into());
    }
}
