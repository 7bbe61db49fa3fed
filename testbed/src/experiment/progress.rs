//! What the operator sees while an experiment runs: which phase, for how long, what is awaited.
//!
//! On a terminal one line moves; elsewhere one line a phase is printed when it begins and ends, so
//! that a log of the run reads well.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// What is awaited, such as "function recovered".
    pub name: &'static str,
    /// How long it should take.
    pub expected: Duration,
    /// After how long it counts as failed.
    pub bound: Duration,
}

/// Hears of the phases of a run.
pub trait Progress {
    /// Learns of all phases at the start, so that it can tell how much is left.
    fn plan(&mut self, title: &str, phases: &[Phase]);
    /// A phase begins.
    fn begin(&mut self, index: usize, phase: &Phase);
    /// Something is worth a look within the phase.
    fn note(&mut self, text: &str);
    /// Time passes; called a few times a second.
    fn tick(&mut self);
    /// The phase is over.
    fn end(&mut self, phase: &Phase, took: Duration);
    /// Prints whole lines, such as the table.
    fn print(&mut self, text: &str);
}

/// The progress that suits standard error.
#[must_use]
pub fn for_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Box::new(Terminal::new())
    } else {
        Box::new(Lines::new(std::io::stderr()))
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// One line a beginning and an end.
#[derive(Debug)]
pub struct Lines<W> {
    to: W,
    total: usize,
    expected: Duration,
}

impl<W: Write> Lines<W> {
    /// Prints to `to`. What cannot be printed is lost: progress must never end a run.
    pub fn new(to: W) -> Self {
        Self {
            to,
            total: 0,
            expected: Duration::ZERO,
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.to, "{text}");
    }
}

impl<W: Write> Progress for Lines<W> {
    fn plan(&mut self, title: &str, phases: &[Phase]) {
        self.total = phases.len();
        self.expected = phases.iter().map(|phase| phase.expected).sum();
        let expected = clock(self.expected);
        self.line(&format!(
            "{title}: {} phases, about {expected}",
            phases.len()
        ));
    }

    fn begin(&mut self, index: usize, phase: &Phase) {
        let (number, total) = (index + 1, self.total);
        let (expected, bound) = (phase.expected.as_secs_f64(), phase.bound.as_secs());
        self.line(&format!(
            "[{number}/{total}] {} (about {expected:.0} s, at most {bound} s)",
            phase.name
        ));
    }

    fn note(&mut self, text: &str) {
        self.line(&format!("      {text}"));
    }

    fn tick(&mut self) {}

    fn end(&mut self, phase: &Phase, took: Duration) {
        self.line(&format!(
            "      {}: {:.1} s",
            phase.name,
            took.as_secs_f64()
        ));
    }

    fn print(&mut self, text: &str) {
        self.line(text.trim_end());
    }
}

/// A moving line on a terminal, with the finished phases above it.
#[derive(Debug)]
struct Terminal {
    bar: ProgressBar,
    phases: Vec<Phase>,
    index: usize,
    began: Instant,
}

impl Terminal {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            phases: Vec::new(),
            index: 0,
            began: Instant::now(),
        }
    }

    /// What is left by the plan, never less than nothing.
    fn left(&self) -> Duration {
        let later: Duration = self
            .phases
            .iter()
            .skip(self.index + 1)
            .map(|p| p.expected)
            .sum();
        let current = self
            .phases
            .get(self.index)
            .map_or(Duration::ZERO, |p| p.expected);
        later + current.saturating_sub(self.began.elapsed())
    }
}

impl Progress for Terminal {
    fn plan(&mut self, title: &str, phases: &[Phase]) {
        self.phases = phases.to_vec();
        let expected = clock(phases.iter().map(|phase| phase.expected).sum());
        self.print(&format!("{title}, about {expected}"));
    }

    fn begin(&mut self, index: usize, _phase: &Phase) {
        self.index = index;
        self.began = Instant::now();
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.tick();
    }

    fn note(&mut self, text: &str) {
        self.print(&format!("    {text}"));
    }

    fn tick(&mut self) {
        let Some(phase) = self.phases.get(self.index) else {
            return;
        };
        self.bar.set_message(format!(
            "[{}/{}] waiting for: {}   {:.0} s of about {:.0} s (at most {} s), {} left in all",
            self.index + 1,
            self.phases.len(),
            phase.name,
            self.began.elapsed().as_secs_f64(),
            phase.expected.as_secs_f64(),
            phase.bound.as_secs(),
            clock(self.left()),
        ));
    }

    fn end(&mut self, phase: &Phase, took: Duration) {
        self.print(&format!(
            "  {:<34}{:>7.1} s",
            phase.name,
            took.as_secs_f64()
        ));
        if self.index + 1 == self.phases.len() {
            self.bar.finish_and_clear();
        }
    }

    fn print(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{}", text.trim_end()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_a_run_reads_well() {
        let phase = |name, expected, bound| Phase {
            name,
            expected: Duration::from_secs(expected),
            bound: Duration::from_secs(bound),
        };
        let phases = [
            phase("ring regular", 5, 60),
            phase("function recovered", 90, 300),
        ];
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out);
        lines.plan("nt2", &phases);
        lines.begin(0, &phases[0]);
        lines.note("web1 has no VIP yet");
        lines.tick();
        lines.end(&phases[0], Duration::from_millis(4210));
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        nt2: 2 phases, about 1:35
        [1/2] ring regular (about 5 s, at most 60 s)
              web1 has no VIP yet
              ring regular: 4.2 s
        ");
    }
}
