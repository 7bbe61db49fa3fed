//! Preparing a booted lab for use: golden states, and managers that made a regular ring once.

use super::bringup::in_parallel;
use super::cancel::Cancel;
use super::error::{LabError, Result};
use super::machine::Machine;
use super::network::Kind;
use super::progress::{Listener, Step};
use ringward::observe::{Status, VmStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 61-84 s each with two at a time under emulation.
const PREPARE_WITHIN: Duration = Duration::from_secs(600);
/// Until every server says that all it manages is in order.
const REGULAR_WITHIN: Duration = Duration::from_secs(300);
/// Until every server says what it keeps loaded; they were loaded before.
const LOADED_WITHIN: Duration = Duration::from_secs(240);
/// Between two looks, each of which starts a program in an emulated machine.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A status is a file that the agent has written.
const STATUS_WITHIN: Duration = Duration::from_secs(30);

fn servers(machines: &[Arc<Machine>]) -> Vec<&Arc<Machine>> {
    let is_server = |m: &&Arc<Machine>| matches!(m.spec.kind, Kind::Server(_));
    machines.iter().filter(is_server).collect()
}

/// Makes the golden state of every server's backup VM.
pub fn make(
    machines: &[Arc<Machine>],
    at_once: usize,
    cancel: &Cancel,
    tell: &Listener,
) -> Result<()> {
    in_parallel(&servers(machines), at_once, |machine| {
        cancel.check()?;
        let name = machine.spec.name;
        tell(
            name,
            Step::Begins("making the golden state of its backup VM".to_owned()),
        );
        let took = backup("prepare", machine, machine)?;
        tell(
            name,
            Step::Done(format!("golden state made in {took:.1} s")),
        );
        Ok(())
    })
}

/// Has every golden state loaded on the server opposite in the ring, which is neither of the
/// function's managers. Agents would do so too, one after the other; with their managers at rest it
/// takes a fraction of the time.
pub fn load(
    machines: &[Arc<Machine>],
    at_once: usize,
    cancel: &Cancel,
    tell: &Listener,
) -> Result<()> {
    let servers = servers(machines);
    let hosts = servers.iter().cycle().skip(servers.len() / 2);
    let pairs: Vec<_> = servers.iter().zip(hosts).collect();
    in_parallel(&pairs, at_once, |(server, host)| {
        cancel.check()?;
        let took = backup("load", server, host)?;
        let vm = server.spec.vm_name();
        let done = format!("golden state of {vm} loaded in {took:.1} s");
        tell(host.spec.name, Step::Done(done));
        Ok(())
    })
}

/// Has `ringward backup` do this on `host` with the golden state of `server`'s backup VM; how many
/// seconds it took.
fn backup(verb: &str, server: &Machine, host: &Machine) -> Result<f64> {
    let start = Instant::now();
    let argv = ["ringward", "backup", verb, server.spec.name];
    let out = host.guest.exec(&argv, PREPARE_WITHIN)?;
    if out.ok() {
        return Ok(start.elapsed().as_secs_f64());
    }
    Err(LabError::Guest {
        machine: host.spec.name.to_owned(),
        doing: format!("{verb} the golden state of {}", server.spec.vm_name()),
        what: out.said(),
    })
}

/// Sets the managers to work and waits until the ring is regular. Until now they were at rest: a manager takes
/// a server that does not run yet, or that was just loaded and is slow, for a troubled one.
pub fn work(machines: &[Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    let servers = servers(machines);
    in_parallel(&servers, servers.len(), |machine| {
        machine.script("ringward flag set").map(drop)
    })?;
    wait_regular(&servers, cancel, tell)
}

/// Has the managers work until golden states are at hand, and brings them to rest again.
pub fn try_out(machines: &[Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    work(machines, cancel, tell)?;
    let servers = servers(machines);
    wait_loaded(&servers, cancel, tell)?;
    // Loading takes what the ring needs too; only one that is still regular is worth keeping.
    wait_regular(&servers, cancel, tell)?;
    in_parallel(&servers, servers.len(), |machine| {
        let vip = machine.spec.vip();
        let script = format!(
            "ringward flag clear; while ip -4 -o addr show to {vip} | grep -q .; do sleep 0.2; done"
        );
        machine.script(&script).map(drop)
    })
}

/// Waits until every server reports a regular ring.
fn wait_regular(servers: &[&Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    tell("lab", Step::Begins("waiting for a regular ring".to_owned()));
    let start = Instant::now();
    for machine in servers {
        loop {
            cancel.check()?;
            let Err(why) = status(machine).and_then(|s| regular(&s)) else {
                break;
            };
            if start.elapsed() > REGULAR_WITHIN {
                let (name, doing) = (machine.spec.name, "report a regular ring");
                return Err(LabError::timeout(
                    name,
                    doing,
                    REGULAR_WITHIN,
                    format!("; {why}"),
                ));
            }
            cancel.sleep(LOOK_EVERY)?;
        }
    }
    let took = start.elapsed().as_secs_f64();
    tell("lab", Step::Done(format!("ring regular after {took:.1} s")));
    Ok(())
}

/// Waits until a golden state of every function is kept loaded somewhere. A lab in which some are
/// not is not ready: saved as it is, every later run would begin with it.
fn wait_loaded(servers: &[&Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    tell(
        "lab",
        Step::Begins("waiting for loaded golden states".to_owned()),
    );
    let start = Instant::now();
    loop {
        cancel.check()?;
        let loaded: usize = servers
            .iter()
            .filter_map(|m| status(m).ok())
            .map(|s| loaded(&s))
            .sum();
        let took = start.elapsed();
        if loaded >= servers.len() {
            let took = took.as_secs_f64();
            tell(
                "lab",
                Step::Done(format!("golden states loaded after {took:.1} s")),
            );
            return Ok(());
        }
        if took > LOADED_WITHIN {
            let hint = format!("; {loaded} of {} are", servers.len());
            let doing = "keep all golden states loaded";
            return Err(LabError::timeout("lab", doing, LOADED_WITHIN, hint));
        }
        cancel.sleep(LOOK_EVERY)?;
    }
}

/// What a server says of itself, or why it says nothing.
fn status(machine: &Machine) -> std::result::Result<Status, String> {
    let out = machine
        .guest
        .exec(&["ringward", "status", "--json"], STATUS_WITHIN);
    let out = out.map_err(|e| e.to_string())?;
    if !out.ok() {
        return Err(out.said());
    }
    serde_json::from_slice(&out.stdout).map_err(|e| e.to_string())
}

/// How many golden states it has at hand.
fn loaded(status: &Status) -> usize {
    let at_hand = |vm: &&VmStatus| matches!(vm.state.as_str(), "standby" | "cached");
    status.vms.iter().filter(at_hand).count()
}

/// Whether a server says that it holds its address and that both its managers are in Regular mode;
/// if not, what it says instead.
fn regular(status: &Status) -> std::result::Result<(), String> {
    let modes: Vec<&str> = status.managers.iter().map(|m| m.mode.as_str()).collect();
    let held = status.vip.as_ref().is_some_and(|vip| vip.held);
    if held && modes.len() >= 2 && modes.iter().all(|m| *m == "Regular") {
        return Ok(());
    }
    let held = if held { "held" } else { "not held" };
    Err(format!(
        "its address is {held}, its managers are: {}",
        modes.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringward::cluster::{Epoch, Priority};
    use ringward::observe::{ManagerStatus, VipStatus};

    #[test]
    fn a_server_must_hold_its_address_and_both_managers_be_regular() {
        let status = |held, modes: &[&str]| {
            let manager = |mode: &&str| ManagerStatus {
                priority: Priority::P1,
                target: "ftp".parse().unwrap(),
                mode: (*mode).to_owned(),
            };
            let status = Status {
                managers: modes.iter().map(manager).collect(),
                vip: Some(VipStatus {
                    address: [172, 21, 14, 203].into(),
                    held,
                    epoch: Epoch(0),
                }),
                ..Status::default()
            };
            regular(&status)
        };
        assert_eq!(status(true, &["Regular", "Regular"]), Ok(()));
        assert_eq!(
            status(false, &["Regular", "Backup server"]).unwrap_err(),
            "its address is not held, its managers are: Regular, Backup server"
        );
        assert!(status(true, &[]).is_err());
    }
}
