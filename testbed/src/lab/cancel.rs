//! Ctrl-C: a flag that every wait of the lab looks at.

use super::error::{LabError, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set once, by a signal or by `lab down`; never cleared.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that SIGINT, SIGTERM and SIGHUP set. A second signal ends the process at once: the
    /// kernel then ends its children.
    pub fn on_signals() -> Result<Cancel> {
        let cancel = Cancel::default();
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            let failed = |e| LabError::Other(format!("cannot watch for signal {signal}: {e}"));
            signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.0.clone())
                .map_err(failed)?;
            signal_hook::flag::register(signal, cancel.0.clone()).map_err(failed)?;
        }
        Ok(cancel)
    }

    /// Sets the flag.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error if it is set.
    pub fn check(&self) -> Result<()> {
        if self.is_set() {
            Err(LabError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Sleeps; an error as soon as the flag is set.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
