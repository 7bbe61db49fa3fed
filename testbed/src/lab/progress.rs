//! What the operator sees while a lab comes up: which machine, which phase, for how long.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A step of bringing up the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// A machine, or the lab as a whole, enters a phase.
    Begins(String),
    /// It is where it should be.
    Done(String),
    /// Something worth knowing.
    Note(String),
}

/// Hears of steps; the first argument is the machine, or `lab`. May be called from any thread.
pub type Listener = Arc<dyn Fn(&str, Step) + Send + Sync>;

/// A listener for standard error: bars on a terminal, lines elsewhere.
pub fn for_stderr() -> Listener {
    if std::io::stderr().is_terminal() {
        bars()
    } else {
        lines(|line| eprintln!("{line}"))
    }
}

/// A listener that makes a line of each step, with the seconds since it was made.
pub fn lines(print: impl Fn(&str) + Send + Sync + 'static) -> Listener {
    let start = Instant::now();
    Arc::new(move |subject, step| {
        let at = start.elapsed().as_secs_f64();
        print(&match step {
            Step::Begins(phase) => format!("{at:6.1} s  {subject:8} {phase} ..."),
            Step::Done(what) => format!("{at:6.1} s  {subject:8} {what}"),
            Step::Note(text) => format!("{at:6.1} s  {subject:8} note: {text}"),
        });
    })
}

fn bars() -> Listener {
    let all = MultiProgress::new();
    let shown: Mutex<HashMap<String, ProgressBar>> = Mutex::default();
    let style = ProgressStyle::with_template("{spinner} {prefix:8} {wide_msg} {elapsed:>4}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let start = Instant::now();
    Arc::new(move |subject, step| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Begins(phase) => {
                let bar = shown.entry(subject.to_owned()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
                    bar.set_prefix(subject.to_owned());
                    bar.enable_steady_tick(Duration::from_millis(200));
                    bar
                });
                bar.set_message(phase);
            }
            Step::Done(what) => {
                if let Some(bar) = shown.remove(subject) {
                    bar.finish_and_clear();
                    all.remove(&bar);
                }
                let at = start.elapsed().as_secs_f64();
                // What cannot be shown is lost: progress must never end a run.
                let _ = all.println(format!("{at:6.1} s  {subject:8} {what}"));
            }
            Step::Note(text) => {
                let _ = all.println(format!("          {subject:8} note: {text}"));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_a_line() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let tell = lines(move |line| sink.lock().unwrap().push(line[10..].to_owned()));
        tell("ftp", Step::Begins("booting".into()));
        tell("ftp", Step::Done("ready after 12.1 s".into()));
        assert_eq!(
            *seen.lock().unwrap(),
            ["ftp      booting ...", "ftp      ready after 12.1 s"]
        );
    }
}
