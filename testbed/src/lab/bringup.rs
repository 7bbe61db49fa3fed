//! Bringing machines up from nothing: in waves, a few at a time, each until it is of use.

use super::cancel::Cancel;
use super::error::{LabError, Result};
use super::machine::Machine;
use super::network::{Kind, Spec};
use super::progress::{Listener, Step};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From power on to an answer of the guest agent; 10 s on an idle host.
const BOOT_WITHIN: Duration = Duration::from_secs(300);
/// From there until its units have settled and its role works.
const ROLE_WITHIN: Duration = Duration::from_secs(300);

/// What must succeed inside a booted machine before it counts as up; none if booting is all.
fn proof(spec: &Spec) -> Option<String> {
    match spec.kind {
        // Units that look right may have started no server threads.
        Kind::FileServer => Some("test \"$(cat /proc/fs/nfsd/threads)\" -gt 0".to_owned()),
        Kind::Server(_) => {
            let daemons = spec.function().map_or("", |f| f.daemons);
            Some(format!(
                "systemctl is-active --quiet {daemons} && test -r /share/group"
            ))
        }
        Kind::Client => None,
    }
}

/// Switches machines on and waits for them, file servers before all others.
pub fn bring_up(
    machines: &[Arc<Machine>],
    at_once: usize,
    cancel: &Cancel,
    tell: &Listener,
) -> Result<()> {
    let first = |m: &&Arc<Machine>| m.spec.kind == Kind::FileServer;
    for wave in [true, false] {
        let wave: Vec<&Arc<Machine>> = machines.iter().filter(|m| first(m) == wave).collect();
        in_parallel(&wave, at_once, |machine| one(machine, cancel, tell))?;
    }
    Ok(())
}

/// Waits until a machine that has been switched on is of use.
fn one(machine: &Machine, cancel: &Cancel, tell: &Listener) -> Result<()> {
    let (name, start) = (machine.spec.name, Instant::now());
    tell(name, Step::Begins("booting".to_owned()));
    machine.on("power on")?;
    machine.wait_guest(cancel, BOOT_WITHIN)?;
    let booted = start.elapsed().as_secs_f64();
    tell(name, Step::Begins("waiting for its services".to_owned()));
    wait_ready(machine, cancel)?;
    if let Ok(failed) = machine.script("systemctl --failed --plain --no-legend | cut -d' ' -f1") {
        let failed = failed.split_whitespace().collect::<Vec<_>>().join(" ");
        if !failed.is_empty() {
            tell(name, Step::Note(format!("failed units: {failed}")));
        }
    }
    let ready = start.elapsed().as_secs_f64();
    tell(
        name,
        Step::Done(format!(
            "ready after {ready:.1} s (guest agent {booted:.1} s)"
        )),
    );
    Ok(())
}

/// Waits until the role of a machine works whose guest agent answers.
pub fn wait_ready(machine: &Machine, cancel: &Cancel) -> Result<()> {
    let deadline = Instant::now() + ROLE_WITHIN;
    // One command that waits; to ask again and again would cost an emulated machine half its time.
    // Its answer may be "degraded", which is up too; what failed is said later.
    let settle = ["systemctl", "is-system-running", "--wait"];
    machine.guest.exec(&settle, ROLE_WITHIN)?;
    let Some(proof) = proof(&machine.spec) else {
        return Ok(());
    };
    loop {
        let result = machine.script(&proof);
        cancel.check()?;
        match result {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                let seen = machine
                    .script("systemctl list-jobs --no-legend; systemctl --failed --no-legend");
                let seen = seen.unwrap_or_default();
                let seen = super::bundle::last_lines(seen.as_bytes());
                let hint = format!("; {error}; units: {seen}");
                return Err(LabError::timeout(
                    machine.spec.name,
                    "become ready",
                    ROLE_WITHIN,
                    hint,
                ));
            }
            Err(_) => cancel.sleep(Duration::from_secs(1))?,
        }
    }
}

/// Does something for each item, `at_once` of them at a time, in order; the first error ends it
/// once those under way are done.
pub fn in_parallel<T: Sync>(
    items: &[T],
    at_once: usize,
    act: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let todo = Mutex::new((items.iter().collect::<VecDeque<_>>(), Ok(())));
    let lock = || todo.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let next = {
                        let mut state = lock();
                        if state.1.is_err() {
                            None
                        } else {
                            state.0.pop_front()
                        }
                    };
                    let Some(item) = next else { return };
                    if let Err(error) = act(item) {
                        let mut state = lock();
                        if state.1.is_ok() {
                            state.1 = Err(error);
                        }
                    }
                }
            });
        }
    });
    todo.into_inner().unwrap_or_else(PoisonError::into_inner).1
}

#[cfg(test)]
mod tests {
    use super::super::network::find;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn never_more_at_once_than_allowed_and_none_after_an_error() {
        let (now, most, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        let act = |item: &usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
            if *item == 5 {
                Err(LabError::Interrupted)
            } else {
                Ok(())
            }
        };
        let items: Vec<usize> = (0..20).collect();
        assert!(in_parallel(&items, 1, act).is_err());
        assert_eq!(done.load(Ordering::SeqCst), 6);
        assert!(in_parallel(&items, 2, act).is_err());
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert!(in_parallel(&[1, 2, 3], 8, act).is_ok());
        assert!(in_parallel(&[], 2, act).is_ok());
    }

    #[test]
    fn each_kind_of_machine_has_its_own_proof() {
        let proof = |name| proof(find(name).unwrap());
        assert!(proof("file1").unwrap().contains("/proc/fs/nfsd/threads"));
        assert!(
            proof("mail")
                .unwrap()
                .contains("--quiet postfix dovecot &&")
        );
        assert_eq!(proof("client"), None);
    }
}
