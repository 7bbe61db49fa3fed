//! Preparing a booted lab for use: golden states, and managers that made a regular ring once.

use super::bringup::in_parallel;
use super::cancel::Cancel;
use super::error::{LabError, Result};
use super::machine::Machine;
use super::network::Kind;
use super::progress::{Listener, Step};
use crate::experiment::atrest::{ENDED, REST};
use ringward::observe::Status;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 61-84 s each with two at a time under emulation.
const PREPARE_WITHIN: Duration = Duration::from_secs(600);
/// Until every server says that all it manages is in order.
const REGULAR_WITHIN: Duration = Duration::from_secs(300);
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
/// function's managers. Managers would do so too, one after the other; while they are at rest it
/// takes a fraction of the time, and those that begin keep what is loaded.
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

/// Has the managers work until they are a regular ring, and brings them to rest again.
pub fn try_out(machines: &[Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    work(machines, cancel, tell)?;
    let servers = servers(machines);
    in_parallel(&servers, servers.len(), |machine| {
        let script = format!("{}; {ENDED}", REST.join(" "));
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
