//! Preparing a booted lab for use: golden states, and a ring in which every manager is at rest.

use super::bringup::in_parallel;
use super::cancel::Cancel;
use super::error::{LabError, Result};
use super::machine::Machine;
use super::network::Kind;
use super::progress::{Listener, Step};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A backup VM boots in 10-20 s under emulation, and is saved in 2 s.
const PREPARE_WITHIN: Duration = Duration::from_secs(300);
/// Until every server says that all it manages is in order.
const REGULAR_WITHIN: Duration = Duration::from_secs(180);

/// Makes the golden state of every server's backup VM and waits until the ring is at rest.
pub fn prepare(
    machines: &[Arc<Machine>],
    at_once: usize,
    cancel: &Cancel,
    tell: &Listener,
) -> Result<()> {
    let is_server = |m: &&Arc<Machine>| matches!(m.spec.kind, Kind::Server(_));
    let servers: Vec<&Arc<Machine>> = machines.iter().filter(is_server).collect();
    in_parallel(&servers, at_once, |machine| {
        cancel.check()?;
        let (name, start) = (machine.spec.name, Instant::now());
        tell(
            name,
            Step::Begins("making the golden state of its backup VM".to_owned()),
        );
        let out = machine
            .guest
            .exec(&["ringward", "backup", "prepare", name], PREPARE_WITHIN)?;
        if !out.ok() {
            return Err(LabError::Guest {
                machine: name.to_owned(),
                doing: format!("make the golden state of {}", machine.spec.vm_name()),
                what: out.said(),
            });
        }
        let took = start.elapsed().as_secs_f64();
        tell(
            name,
            Step::Done(format!("golden state made in {took:.1} s")),
        );
        Ok(())
    })?;
    wait_regular(&servers, cancel, tell)
}

/// Waits until every server reports a ring at rest.
fn wait_regular(servers: &[&Arc<Machine>], cancel: &Cancel, tell: &Listener) -> Result<()> {
    tell("lab", Step::Begins("waiting for a ring at rest".to_owned()));
    let start = Instant::now();
    for machine in servers {
        loop {
            cancel.check()?;
            let seen = match machine
                .guest
                .exec(&["ringward", "status", "--json"], REGULAR_WITHIN)
            {
                Ok(out) if out.ok() => match at_rest(&out.stdout) {
                    Ok(()) => break,
                    Err(why) => why,
                },
                Ok(out) => out.said(),
                Err(error) => error.to_string(),
            };
            if start.elapsed() > REGULAR_WITHIN {
                let (name, doing) = (machine.spec.name, "report a ring at rest");
                return Err(LabError::timeout(
                    name,
                    doing,
                    REGULAR_WITHIN,
                    format!("; {seen}"),
                ));
            }
            cancel.sleep(Duration::from_millis(500))?;
        }
    }
    let took = start.elapsed().as_secs_f64();
    tell("lab", Step::Done(format!("ring at rest after {took:.1} s")));
    Ok(())
}

/// Whether a `ringward status --json` says that both managers of a server are in Regular mode;
/// if not, what it says instead.
fn at_rest(json: &[u8]) -> std::result::Result<(), String> {
    let status: serde_json::Value = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let managers = status["managers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mode = |m: &serde_json::Value| m["mode"].as_str().unwrap_or_default().to_lowercase();
    if managers.len() >= 2 && managers.iter().all(|m| mode(m) == "regular") {
        return Ok(());
    }
    let said: Vec<String> = managers.iter().map(mode).collect();
    Err(format!(
        "its managers are: {}",
        if said.is_empty() {
            "none".into()
        } else {
            said.join(", ")
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_managers_must_be_regular() {
        let status = |modes: &[&str]| {
            let managers: Vec<_> = modes
                .iter()
                .map(|m| serde_json::json!({ "mode": m }))
                .collect();
            serde_json::json!({ "managers": managers })
                .to_string()
                .into_bytes()
        };
        assert_eq!(at_rest(&status(&["Regular", "regular"])), Ok(()));
        assert_eq!(
            at_rest(&status(&["regular", "backup_server"])),
            Err("its managers are: regular, backup_server".to_owned())
        );
        assert_eq!(
            at_rest(&status(&[])),
            Err("its managers are: none".to_owned())
        );
        assert!(at_rest(b"starting").is_err());
    }
}
