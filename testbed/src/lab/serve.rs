//! The lab in the background: brings it up, answers requests, and takes it down.

use super::cancel::Cancel;
use super::control::{self, Answer, Button, MachineStatus, Request, Status};
use super::error::{LabError, Result};
use super::lab::{Lab, Options};
use super::lock::{self, LabLock};
use super::machine::Machine;
use super::progress::{Listener, Step};
use super::roster::Roster;
use std::io::{BufReader, ErrorKind};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A command given on the command line may take this long.
const EXEC_WITHIN: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Progress {
    steps: Vec<(String, Step)>,
    /// Set once: up, or failed and why.
    outcome: Option<std::result::Result<(), String>>,
    /// Set once: down, or what was left behind.
    end: Option<std::result::Result<(), String>>,
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    lab: Mutex<Option<Lab>>,
    roster: Roster,
    /// Accelerator and why, once the lab is up.
    accelerator: OnceLock<String>,
    cancel: Cancel,
    run_dir: PathBuf,
}

/// Brings the lab up and stays until `lab down` or a signal.
pub fn serve(options: &Options, cancel: &Cancel) -> Result<()> {
    let lock = LabLock::take(&lock::runtime_dir()?, &options.purpose)?;
    let shared = Shared::listen(&options.run_dir, &options.roster, cancel)?;
    let teller = shared.clone();
    let tell: Listener = Arc::new(move |subject, step| {
        eprintln!("{subject:8} {step:?}");
        teller.update(|p| p.steps.push((subject.to_owned(), step.clone())));
    });
    let up = Lab::up_locked(lock, options, cancel, &tell);
    shared.stay(up)
}

/// Keeps a lab that is up for a look by hand, until `lab down` or a signal.
pub fn keep(lab: Lab, cancel: &Cancel) -> Result<()> {
    eprintln!("The machines are kept: testbed lab status, shell, power; Ctrl-C or lab down ends.");
    Shared::listen(lab.run_dir(), lab.roster(), cancel)?.stay(Ok(lab))
}

impl Shared {
    /// Answers requests from now on.
    fn listen(run_dir: &Path, roster: &Roster, cancel: &Cancel) -> Result<Arc<Shared>> {
        let path = control::socket()?;
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(LabError::io("remove", &path)(e));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(LabError::io("listen at", &path))?;
        let shared = Arc::new(Shared {
            progress: Mutex::default(),
            changed: Condvar::new(),
            lab: Mutex::new(None),
            roster: roster.clone(),
            accelerator: OnceLock::new(),
            cancel: cancel.clone(),
            run_dir: run_dir.to_owned(),
        });
        let acceptor = shared.clone();
        std::thread::spawn(move || accept(&listener, &acceptor));
        Ok(shared)
    }

    /// Waits for the end and takes the lab down.
    fn stay(&self, up: Result<Lab>) -> Result<()> {
        let ended = match up {
            Ok(lab) => {
                // Set once only.
                let _ = self.accelerator.set(lab.choice().to_string());
                *self.lab.lock().unwrap_or_else(PoisonError::into_inner) = Some(lab);
                self.update(|p| p.outcome = Some(Ok(())));
                while self.cancel.sleep(Duration::from_secs(3600)).is_ok() {}
                self.take_down()
            }
            Err(error) => {
                self.update(|p| p.outcome = Some(Err(error.to_string())));
                Err(error)
            }
        };
        let said = match &ended {
            Ok(()) | Err(LabError::Interrupted) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        self.update(|p| p.end = Some(said));
        let path = control::socket()?;
        std::fs::remove_file(&path).map_err(LabError::io("remove", &path))?;
        // Those who wait for the end are told it before the process goes.
        std::thread::sleep(Duration::from_millis(200));
        ended
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_down(&self) -> Result<()> {
        let lab = self
            .lab
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        lab.map_or(Ok(()), Lab::down)
    }

    fn phase(&self) -> &'static str {
        match (&self.lock().outcome, self.cancel.is_set()) {
            (_, true) | (Some(Err(_)), _) => "going down",
            (Some(Ok(())), false) => "up",
            (None, false) => "coming up",
        }
    }

    fn status(&self) -> Status {
        Status {
            pid: std::process::id(),
            phase: self.phase().to_owned(),
            accelerator: self
                .accelerator
                .get()
                .cloned()
                .unwrap_or_else(|| "not told yet".into()),
            run_dir: self.run_dir.clone(),
            machines: self
                .roster
                .all()
                .iter()
                .map(|m| machine_status(m))
                .collect(),
        }
    }
}

fn machine_status(machine: &Machine) -> MachineStatus {
    let (power, since) = machine.power();
    MachineStatus {
        name: machine.spec.name.to_owned(),
        ip: machine.spec.ip.to_string(),
        power: power.word().to_owned(),
        for_s: since.map(|s| s.as_secs_f64()),
        resident_mb: machine.resident_mb(),
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        let shared = shared.clone();
        std::thread::spawn(move || {
            let Ok(copy) = stream.try_clone() else { return };
            let (mut from, mut to) = (BufReader::new(copy), stream);
            while let Ok(Some(request)) = control::receive(&mut from) {
                // An error means that nobody listens any more.
                if answer(&shared, request, &mut to).is_err() {
                    return;
                }
            }
        });
    }
}

fn answer(shared: &Shared, request: Request, to: &mut UnixStream) -> Result<()> {
    let result = match request {
        Request::Follow => return follow(shared, to),
        Request::Status => Ok(Answer::Status(shared.status())),
        Request::Power(name, button) => shared
            .roster
            .find(&name)
            .and_then(|m| press(&m, button))
            .map(|()| Answer::Done),
        Request::Exec(name, argv) => shared.roster.find(&name).and_then(|machine| {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            let out = machine.guest.exec(&argv, EXEC_WITHIN)?;
            Ok(Answer::Ran {
                stdout: out.stdout,
                stderr: out.stderr,
                code: out.code,
            })
        }),
        Request::Console(name) => shared.roster.find(&name).and_then(|machine| {
            machine.monitor()?;
            Ok(Answer::Console(machine.console().to_owned()))
        }),
        Request::Down => {
            shared.cancel.set();
            let mut progress = shared.lock();
            while progress.end.is_none() {
                let waited = shared.changed.wait(progress);
                progress = waited.unwrap_or_else(PoisonError::into_inner);
            }
            match &progress.end {
                Some(Err(what)) => Ok(Answer::Error(what.clone())),
                _ => Ok(Answer::Done),
            }
        }
    };
    control::send(to, &result.unwrap_or_else(|e| Answer::Error(e.to_string())))
}

/// Presses a button.
pub fn press(machine: &Machine, button: Button) -> Result<()> {
    match button {
        Button::On => machine.on("power button"),
        Button::Off => machine.off(),
        Button::Cut => {
            machine.cut();
            Ok(())
        }
        Button::Unplug => {
            machine.unplug();
            Ok(())
        }
        Button::Freeze => machine.freeze(),
        Button::Thaw => machine.thaw(),
    }
}

fn follow(shared: &Shared, to: &mut UnixStream) -> Result<()> {
    let mut told = 0;
    loop {
        let (news, outcome) = {
            let mut progress = shared.lock();
            while progress.steps.len() == told && progress.outcome.is_none() {
                let waited = shared.changed.wait(progress);
                progress = waited.unwrap_or_else(PoisonError::into_inner);
            }
            (progress.steps[told..].to_vec(), progress.outcome.clone())
        };
        told += news.len();
        for (subject, step) in news {
            control::send(to, &Answer::Step(subject, step))?;
        }
        match outcome {
            None => {}
            Some(Ok(())) => return control::send(to, &Answer::Ready),
            Some(Err(what)) => return control::send(to, &Answer::Error(what)),
        }
    }
}
