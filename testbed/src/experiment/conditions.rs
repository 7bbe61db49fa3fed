//! What an experiment changes of the cluster before anything strikes: settings and memory stress.

use super::atrest::unload;
use super::site::{self, Site, node};
use super::spec::{Conditions, PAPERS_MEMORY_MB};
use anyhow::Context;
use ringward::cluster::{Activation, Settings};
use std::time::Duration;
use toml::{Table, Value};

const WITHIN: Duration = Duration::from_secs(60);
const SETTINGS: &str = "/share/cluster.toml";

/// Replaces the settings on the share whole, readable for root only.
const REPLACE: &str = "umask 077; printf %s \"$1\" > \"$2.new\" && mv \"$2.new\" \"$2\"";

/// Takes a part of a machine's memory: so many of so many parts. What is in the machine goes first.
const STRESS: &str =
    "while read -r what kb _; do [ \"$what\" = MemTotal: ] && break; done < /proc/meminfo
mkdir -p /run/stress && mount -t tmpfs -o size=95% stress /run/stress &&
fallocate -l $((kb * $1 / $2))KiB /run/stress/taken";

/// Brings the cluster into the experiment's conditions, while the managers are at rest: they read settings
/// when they start. `say` hears what is going on.
///
/// # Errors
/// When a machine does not do what it is told.
pub fn set(
    site: &dyn Site,
    conditions: &Conditions,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    if conditions.change_settings() {
        edit(site, |settings| {
            if let Some(activation) = conditions.activation {
                settings.insert("activation".to_owned(), Value::try_from(activation)?);
            }
            if let Some(topology) = conditions.topology {
                settings.insert("topology".to_owned(), Value::try_from(topology)?);
            }
            Ok(())
        })?;
    }
    if conditions.activation == Some(Activation::Restore) {
        // Managers that restore states give up what is loaded, but memory is taken before they begin.
        unload(site, &site.servers())?;
    }
    for (server, mb) in &conditions.stress {
        let (taken, whole) = (mb.to_string(), PAPERS_MEMORY_MB.to_string());
        let argv = ["sh", "-c", STRESS, "sh", &taken, &whole];
        site::output(site, server, &argv, WITHIN)
            .map(drop)
            .with_context(|| format!("taking memory of {server}"))?;
    }
    if let Some(words) = stress(conditions) {
        say(&words);
    }
    Ok(())
}

/// Makes all of the cluster's timings `times` as long, while the managers are at rest.
///
/// # Errors
/// When file server 1 does not hand the settings out or take them, or they are no settings.
pub fn stretch(site: &dyn Site, times: f64) -> anyhow::Result<()> {
    edit(site, |settings| {
        let now = Settings::parse(SETTINGS, &settings.to_string())?.timings;
        let stretched = Value::try_from(now.stretched(times))?;
        settings.insert("timings".to_owned(), stretched);
        Ok(())
    })
    .map(drop)
}

/// The stress in words: of each server, what the paper's lost and what part of the memory that is.
/// Nothing if there is none.
#[must_use]
pub fn stress(conditions: &Conditions) -> Option<String> {
    let part = |mb: u32| f64::from(mb) / f64::from(PAPERS_MEMORY_MB) * 100.0;
    let words = conditions.stress.iter();
    let words = words.map(|(server, mb)| format!("{server} {mb} MB ({:.0} %)", part(*mb)));
    let words = words.collect::<Vec<_>>().join(", ");
    let all = format!("memory stress, of {PAPERS_MEMORY_MB} MB on the paper's machines: {words}");
    (!conditions.stress.is_empty()).then_some(all)
}

/// Changes the settings on the share; servers read them when their managers start. Gives the text that
/// was there.
///
/// # Errors
/// When file server 1 does not hand them out or take them.
pub fn edit(
    site: &dyn Site,
    change: impl FnOnce(&mut Table) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let before = site::output(site, node::FILE1, &["cat", SETTINGS], WITHIN)?;
    let mut settings: Table = toml::from_str(&before)?;
    change(&mut settings)?;
    put_back(site, &settings.to_string())?;
    Ok(before)
}

/// Makes `text` the settings on the share.
///
/// # Errors
/// When file server 1 does not take it.
pub fn put_back(site: &dyn Site, text: &str) -> anyhow::Result<()> {
    let argv = ["sh", "-c", REPLACE, "sh", text, SETTINGS];
    site::output(site, node::FILE1, &argv, WITHIN)
        .map(drop)
        .context("changing the cluster's settings")
}
