//! Where `tracing` goes: the journal for what the OS started, the terminal for what a person did.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Environment variable that sets the level: `error`, `warn`, `info`, `debug` or `trace`.
const LEVEL: &str = "RINGWARD_LOG";

/// Who reads what this program tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The journal; standard error when there is none.
    Journal,
    /// A person at a terminal, who wants warnings only.
    Terminal,
}

/// An error with everything that it was caused by: `what: why: why`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Starts to tell; call once, at the start of the program.
pub fn tell(audience: Audience) {
    let usual = match audience {
        Audience::Journal => LevelFilter::INFO,
        Audience::Terminal => LevelFilter::WARN,
    };
    let wanted = std::env::var(LEVEL).ok();
    let level = wanted
        .as_deref()
        .map_or(Some(usual), |text| text.parse().ok());
    let missing = match audience {
        Audience::Journal => journal(level.unwrap_or(usual)),
        Audience::Terminal => Some(None),
    };
    if let Some(why) = missing {
        stderr(level.unwrap_or(usual));
        if let Some(why) = why {
            tracing::warn!("there is no journal ({why}); telling standard error instead");
        }
    }
    if level.is_none() {
        tracing::warn!(
            "{LEVEL}={}: expected error, warn, info, debug or trace",
            wanted.unwrap_or_default()
        );
    }
}

/// Tells the journal; says why not if that is not possible.
#[cfg(feature = "host")]
fn journal(level: LevelFilter) -> Option<Option<String>> {
    match tracing_journald::layer() {
        Ok(layer) => {
            let layer = layer
                .with_field_prefix(None)
                .with_syslog_identifier("ringward".to_owned());
            // It fails only when something else already tells.
            let _ = tracing_subscriber::registry()
                .with(level)
                .with(layer)
                .try_init();
            None
        }
        Err(error) => Some(Some(error.to_string())),
    }
}

#[cfg(not(feature = "host"))]
fn journal(_level: LevelFilter) -> Option<Option<String>> {
    Some(None)
}

fn stderr(level: LevelFilter) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time();
    // It fails only when something else already tells.
    let _ = tracing_subscriber::registry()
        .with(level)
        .with(layer)
        .try_init();
}
