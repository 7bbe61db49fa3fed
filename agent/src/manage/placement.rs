//! Where a backup VM starts: predicted loads, their normalisation and the non-select value
//! (paper, section 2.5, Fig. 5, equations (1) to (9)).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster::{Activation, Condition, Group, ServerCondition, ServerName, ServerType};

/// Average loads of one server, measured in two steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The server.
    pub name: ServerName,
    /// C_cor, processor cores.
    pub cores: f64,
    /// Physical memory, KB.
    pub memory_kb: f64,
    /// N_rat, bytes a second sent and received at the rated speed, KB/s.
    pub rated_kb: f64,
    /// Backup VMs running there.
    pub vm: u32,
    /// Available memory, KB: previous and current average (Am).
    pub am: [f64; 2],
    /// Idle processor time of the whole machine, per cent from 0 to 100 (Ac).
    pub ac: [f64; 2],
    /// Bytes sent and received, KB/s (An).
    pub an: [f64; 2],
}

/// Weights of Nm, Nc and Nn in the non-select value (Fig. 5(b)); VM weighs 100.
fn weights(server_type: ServerType) -> [f64; 3] {
    match server_type {
        ServerType::Cpu => [0.5, 0.4, 0.1],
        ServerType::Network => [0.5, 0.1, 0.4],
        ServerType::CpuNet => [0.5, 0.25, 0.25],
    }
}

/// Equations (1) to (3): the difference goes on, within what is possible.
fn predicted([previous, current]: [f64; 2], limit: f64) -> f64 {
    let next = 2.0 * current - previous;
    if next.is_finite() {
        next.clamp(0.0, limit.max(0.0))
    } else {
        0.0
    }
}

/// Equations (4) to (9): how far below the best, in per cent of the range.
fn normalised(values: &[f64]) -> impl Iterator<Item = f64> {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    values.iter().map(move |value| {
        if max > min {
            (max - value) / (max - min) * 100.0
        } else {
            100.0
        }
    })
}

/// The condition file: the predicted loads of all servers, normalised over them.
///
/// Limits as in the paper: Lm up to the physical memory, Lc up to cores x 100, Ln up to twice the
/// rated speed. The best and worst of each range over the predicted quantities.
pub fn condition(samples: &[Sample]) -> Condition {
    let memory: Vec<f64> = samples
        .iter()
        .map(|s| predicted(s.am, s.memory_kb))
        .collect();
    let idle: Vec<f64> = samples
        .iter()
        .map(|s| predicted(s.ac, 100.0 * s.cores) * s.cores)
        .collect();
    let free: Vec<f64> = samples
        .iter()
        .map(|s| s.rated_kb - predicted(s.an, 2.0 * s.rated_kb))
        .collect();
    let loads = normalised(&memory)
        .zip(normalised(&idle))
        .zip(normalised(&free));
    let lines = samples
        .iter()
        .zip(loads)
        .map(|(sample, ((nm, nc), nn))| ServerCondition {
            name: sample.name.clone(),
            vm: sample.vm,
            nm,
            nc,
            nn,
        });
    Condition {
        servers: lines.collect(),
    }
}

/// The non-select value of a server for a function of this type: the lowest is chosen.
pub fn non_select(server_type: ServerType, server: &ServerCondition) -> f64 {
    value(server_type, server.vm, server)
}

/// The same if the server ran so many backup VMs.
fn value(server_type: ServerType, vm: u32, server: &ServerCondition) -> f64 {
    let [m, c, n] = weights(server_type);
    f64::from(vm) * 100.0 + server.nm * m + server.nc * c + server.nn * n
}

/// All servers with their values, the chosen one first. Equal values keep their order.
pub fn ranked(server_type: ServerType, condition: &Condition) -> Vec<(ServerName, f64)> {
    let mut values: Vec<(ServerName, f64)> = condition
        .servers
        .iter()
        .map(|server| (server.name.clone(), non_select(server_type, server)))
        .collect();
    values.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal));
    values
}

/// Whom to ask and whom not.
#[derive(Debug)]
pub struct Request<'a> {
    /// The function's server, which is never its own host.
    pub function: &'a ServerName,
    /// Its type.
    pub server_type: ServerType,
    /// Memory the VM needs, KB.
    pub need_kb: u64,
    /// The servers to choose from, in ring order; ties go to the first.
    pub group: &'a Group,
    /// Those that failed already.
    pub excluded: &'a [ServerName],
    /// The servers where the golden state is at hand.
    pub at_hand: &'a [ServerName],
    /// How it is loaded: a paused VM has its memory already, a state in the page cache has none.
    pub activation: Activation,
    /// Backup VMs a server runs beyond what its sample counted.
    pub vms: &'a BTreeMap<ServerName, u32>,
}

/// Memory that a host keeps for itself, KB.
const RESERVE_KB: u64 = 64 * 1024;

/// Chooses the host of a backup VM; nobody, if nobody has room.
pub fn choose(request: &Request<'_>, samples: &[Sample]) -> Option<ServerName> {
    Field::new(request.group, samples).choose(request)
}

/// The servers to choose from, with what was measured of them.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// In ring order.
    servers: Vec<(ServerCondition, Option<&'a Sample>)>,
}

impl<'a> Field<'a> {
    pub(super) fn new(group: &Group, samples: &'a [Sample]) -> Self {
        let of: BTreeMap<&ServerName, &Sample> = samples.iter().map(|s| (&s.name, s)).collect();
        let measured = |name: &ServerName| {
            let sample = of.get(name).copied();
            sample.cloned().unwrap_or_else(|| idle(name))
        };
        let measured: Vec<Sample> = group.names().map(measured).collect();
        let servers = condition(&measured).servers.into_iter();
        let with_sample = |server: ServerCondition| {
            let sample = of.get(&server.name).copied();
            (server, sample)
        };
        Self {
            servers: servers.map(with_sample).collect(),
        }
    }

    fn has_room(&self, host: &ServerName, need_kb: u64) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(server, sample)| server.name == *host && has_room(*sample, need_kb))
    }

    /// Chooses a host: the lowest non-select value wins, the first of equal ones. A server that has
    /// the state at hand is taken instead if it runs no more backup VMs than the winner: `VM x 100`
    /// outweighs all loads, so only loads differ, and those were weighed when the state was placed.
    pub(super) fn choose(&self, request: &Request<'_>) -> Option<ServerName> {
        let vms = |name: &ServerName| request.vms.get(name).copied().unwrap_or(0);
        let loaded = |name: &ServerName| request.at_hand.contains(name);
        let has_memory =
            |name: &ServerName| loaded(name) && request.activation == Activation::Standby;
        let able = self.servers.iter().filter(|(server, sample)| {
            server.name != *request.function
                && !request.excluded.contains(&server.name)
                && (has_memory(&server.name) || has_room(*sample, request.need_kb))
        });
        let mut first: Option<(&ServerName, f64)> = None;
        let mut ready: Option<(&ServerName, f64)> = None;
        for (server, _) in able {
            let value = value(request.server_type, vms(&server.name), server);
            let less = |other: Option<(_, f64)>| other.is_none_or(|(_, least)| value < least);
            if less(first) {
                first = Some((&server.name, value));
            }
            if loaded(&server.name) && less(ready) {
                ready = Some((&server.name, value));
            }
        }
        let (first, _) = first?;
        let ready = ready.map(|(name, _)| name);
        let chosen = ready.filter(|name| vms(name) <= vms(first));
        Some(chosen.unwrap_or(first).clone())
    }
}

/// Whether a server has the memory for a VM; one that has not told its load yet may.
fn has_room(sample: Option<&Sample>, need_kb: u64) -> bool {
    sample.is_none_or(|sample| sample.am[1] >= (need_kb + RESERVE_KB) as f64)
}

/// A server that has not told its load yet.
fn idle(name: &ServerName) -> Sample {
    Sample {
        name: name.clone(),
        cores: 1.0,
        memory_kb: 0.0,
        rated_kb: 0.0,
        vm: 0,
        am: [0.0; 2],
        ac: [0.0; 2],
        an: [0.0; 2],
    }
}

/// What is to be kept at hand, and how.
#[derive(Debug)]
pub struct Stock<'a> {
    /// The servers, in ring order.
    pub group: &'a Group,
    /// The functions' types and the memory that their VMs need, KB.
    pub functions: &'a BTreeMap<ServerName, (ServerType, u64)>,
    /// Where the golden state of a function is at hand now.
    pub current: &'a BTreeMap<ServerName, Vec<ServerName>>,
    /// In which way.
    pub activation: Activation,
    /// Hosts (second) that did not take the state of a function (first).
    pub failed: &'a [(ServerName, ServerName)],
    /// Backup VMs that a server runs.
    pub running: &'a BTreeMap<ServerName, u32>,
}

/// Where each function's golden state should be at hand while all is healthy. One that is loaded takes
/// memory: it is on the host that placement would choose if those before it were running. One that is only
/// read ahead takes nobody's, and so is on two hosts, half of the ring apart ([`pair`]); loads are weighed
/// between them when the VM is started. Where one of them will not have it, placement chooses instead.
pub fn standbys(stock: &Stock<'_>, samples: &[Sample]) -> BTreeMap<ServerName, Vec<ServerName>> {
    let field = Field::new(stock.group, samples);
    let mut vms = stock.running.clone();
    let mut placed: BTreeMap<ServerName, Vec<ServerName>> = BTreeMap::new();
    for function in stock.group.names() {
        let Some((_, need_kb)) = stock.functions.get(function) else {
            continue;
        };
        let (mut hosts, wanted) = match stock.activation {
            Activation::Standby => (Vec::new(), 1),
            Activation::Restore => (pair(stock.group, function), 2),
        };
        hosts.retain(|host| !stock.has_failed(function, host) && field.has_room(host, *need_kb));
        while hosts.len() < wanted {
            let Some(host) = stock.next(&field, function, &hosts, &vms) else {
                break;
            };
            *vms.entry(host.clone()).or_default() += 1;
            hosts.push(host);
        }
        if !hosts.is_empty() {
            placed.insert(function.clone(), hosts);
        }
    }
    placed
}

impl Stock<'_> {
    fn has_failed(&self, function: &ServerName, host: &ServerName) -> bool {
        let mut failed = self.failed.iter();
        failed.any(|(of, at)| of == function && at == host)
    }

    /// One more host for the state of a function, beside those that have been chosen.
    fn next(
        &self,
        field: &Field<'_>,
        function: &ServerName,
        chosen: &[ServerName],
        vms: &BTreeMap<ServerName, u32>,
    ) -> Option<ServerName> {
        let &(server_type, need_kb) = self.functions.get(function)?;
        let names = self.group.names();
        let excluded =
            names.filter(|host| chosen.contains(host) || self.has_failed(function, host));
        let excluded: Vec<ServerName> = excluded.cloned().collect();
        field.choose(&Request {
            function,
            server_type,
            need_kb,
            group: self.group,
            excluded: &excluded,
            at_hand: self.current.get(function).map_or(&[], Vec::as_slice),
            activation: self.activation,
            vms,
        })
    }
}

/// The next server in the ring and the one half of the ring after that. Whatever run of neighbours is lost,
/// up to half of the ring: each of its functions has its state on a host that is left, and no two on the
/// same one, for the hosts of two functions are the same only if these are half of the ring apart.
fn pair(group: &Group, function: &ServerName) -> Vec<ServerName> {
    let all = group.len();
    let Some(at) = group.position(function) else {
        return Vec::new();
    };
    let mut hosts: Vec<ServerName> = Vec::new();
    for ahead in [1, 1 + all / 2] {
        let host = &group.members()[(at + ahead) % all].name;
        if host != function && !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    fn sample(server: &str, am: f64, ac: f64, an: f64) -> Sample {
        Sample {
            name: name(server),
            cores: 2.0,
            memory_kb: 1_000_000.0,
            rated_kb: 256_000.0,
            vm: 0,
            am: [am; 2],
            ac: [ac; 2],
            an: [an; 2],
        }
    }

    #[test]
    fn the_papers_example_chooses_web() {
        let text = "web 0 40 30 50\nmail 1 30 20 40\n";
        let condition = Condition::parse("condition", text).unwrap();
        let ranked = ranked(ServerType::Network, &condition);
        assert_eq!(ranked, [(name("web"), 43.0), (name("mail"), 133.0)]);
    }

    #[test]
    fn loads_are_predicted_and_normalised() {
        let mut a = sample("a", 0.0, 0.0, 0.0);
        (a.am, a.ac, a.an) = ([100.0, 400.0], [90.0, 80.0], [100.0, 50.0]);
        let mut b = sample("b", 0.0, 0.0, 0.0);
        (b.am, b.ac, b.an) = ([900.0, 100.0], [20.0, 90.0], [0.0, 300_000.0]);
        let c = sample("c", 300.0, 50.0, 128_000.0);
        let condition = condition(&[a, b, c]);
        // Lm = 700, 0 (not -700), 300; Lc x cores = 140, 320, 100; Ln = 0, 512000 (not 600000), 128000.
        insta::assert_snapshot!(condition);
    }

    #[test]
    fn equal_servers_all_count_full_and_the_first_wins() {
        let samples = [sample("a", 1.0, 2.0, 3.0), sample("b", 1.0, 2.0, 3.0)];
        let made = condition(&samples);
        assert!(
            made.servers
                .iter()
                .all(|s| [s.nm, s.nc, s.nn] == [100.0; 3])
        );
        assert_eq!(ranked(ServerType::Cpu, &made)[0], (name("a"), 100.0));
    }

    fn group() -> Group {
        Group::parse("group", "1 a a.dat\n2 b b.dat\n3 c c.dat\n").unwrap()
    }

    #[test]
    fn room_standby_and_failures_count() {
        let group = group();
        let samples = [
            sample("a", 900_000.0, 99.0, 0.0),
            sample("b", 800_000.0, 98.0, 0.0),
            sample("c", 100_000.0, 97.0, 0.0),
        ];
        let function = name("a");
        let (b, c) = (name("b"), name("c"));
        let mut vms = BTreeMap::new();
        let pick_as = |activation, excluded: &[ServerName], at_hand: &[ServerName], vms: &_| {
            let request = Request {
                function: &function,
                server_type: ServerType::Network,
                need_kb: 256_000,
                group: &group,
                excluded,
                at_hand,
                activation,
                vms,
            };
            choose(&request, &samples)
        };
        let pick = |excluded: &[ServerName], at_hand: &[ServerName], vms: &_| {
            pick_as(Activation::Standby, excluded, at_hand, vms)
        };
        let (at_b, at_c) = (std::slice::from_ref(&b), std::slice::from_ref(&c));
        let both = [c.clone(), b.clone()];
        assert_eq!(pick(&[], &[], &vms), Some(b.clone()));
        assert_eq!(pick(&[], at_c, &vms), Some(c.clone()), "loaded there");
        assert_eq!(pick(&[], &both, &vms), Some(b.clone()), "the better of two");
        let cached = pick_as(Activation::Restore, &[], at_c, &vms);
        assert_eq!(cached, Some(b.clone()), "cached only, and no room");
        assert_eq!(pick(at_b, &[], &vms), None, "c has no room");
        vms.insert(c.clone(), 1);
        assert_eq!(pick(&[], at_c, &vms), Some(b), "c runs a VM more");
    }

    fn at_hand(servers: usize, activation: Activation) -> BTreeMap<ServerName, Vec<ServerName>> {
        let lines = (1..=servers).map(|n| format!("{n} s{n} s{n}.dat\n"));
        let group = Group::parse("group", &lines.collect::<String>()).unwrap();
        let functions = group
            .names()
            .map(|n| (n.clone(), (ServerType::Network, 0)))
            .collect();
        let stock = Stock {
            group: &group,
            functions: &functions,
            current: &BTreeMap::new(),
            activation,
            failed: &[],
            running: &BTreeMap::new(),
        };
        let placed = standbys(&stock, &[]);
        let again = Stock {
            current: &placed,
            ..stock
        };
        assert_eq!(standbys(&again, &[]), placed, "what is at hand stays");
        placed
    }

    #[test]
    fn standbys_spread() {
        let shown = |servers, activation| {
            let placed = at_hand(servers, activation);
            let line = |(function, hosts): (&ServerName, &Vec<ServerName>)| {
                let hosts: Vec<&str> = hosts.iter().map(ServerName::as_str).collect();
                format!("{function} on {}\n", hosts.join(", "))
            };
            placed.iter().map(line).collect::<String>()
        };
        insta::assert_snapshot!(shown(3, Activation::Standby));
        insta::assert_snapshot!("two_hosts_each", shown(6, Activation::Restore));
        insta::assert_snapshot!("two_servers", shown(2, Activation::Restore));
    }

    #[test]
    fn half_a_ring_leaves_each_of_its_states_on_a_host_of_its_own() {
        for servers in 3..12_usize {
            let placed = at_hand(servers, Activation::Restore);
            for (first, run) in
                (0..servers).flat_map(|n| (1..=servers / 2).map(move |run| (n, run)))
            {
                let lost = (first..first + run).map(|n| n % servers + 1);
                let lost: Vec<ServerName> = lost.map(|n| name(&format!("s{n}"))).collect();
                let mut used = Vec::new();
                for function in &lost {
                    let left: Vec<&ServerName> = placed[function]
                        .iter()
                        .filter(|host| !lost.contains(host))
                        .collect();
                    let alone = !left.is_empty() && left.iter().all(|host| !used.contains(host));
                    assert!(alone, "{function} of {servers} with {lost:?}: {placed:?}");
                    used.extend(left);
                }
            }
        }
    }

    #[test]
    fn a_host_that_did_not_take_a_state_is_replaced() {
        let group = Group::parse("group", "1 a a.dat\n2 b b.dat\n3 c c.dat\n4 d d.dat\n").unwrap();
        let of = |n: &ServerName| (n.clone(), (ServerType::Network, 0));
        let stock = Stock {
            group: &group,
            functions: &group.names().map(of).collect(),
            current: &BTreeMap::new(),
            activation: Activation::Restore,
            failed: &[(name("a"), name("d"))],
            running: &BTreeMap::new(),
        };
        let placed = standbys(&stock, &[]);
        assert_eq!(placed[&name("a")], [name("b"), name("c")]);
        assert_eq!(placed[&name("b")], [name("c"), name("a")]);
    }
}
