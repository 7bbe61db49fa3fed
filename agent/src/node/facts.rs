//! What the node knows at its start, from the site medium and the last good management data.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::cluster::{Group, ManagementData, ParseError, Settings, SettingsError};
use crate::manage::Config;
use crate::share::{Damage, Share, unseal};
use crate::site::{Paths, Site, SiteError};

/// Time to learn from the share how much memory a backup VM needs.
const SIZE: Duration = Duration::from_secs(2);

/// Facts that do not change while the node runs.
#[derive(Debug)]
pub struct Facts {
    /// Which server this is.
    pub site: Site,
    /// What the decisions need.
    pub config: Config,
    /// This server's own management data.
    pub own: ManagementData,
    /// When the node started, UTC.
    pub started: String,
}

/// Why the node cannot start.
#[derive(Debug, Error)]
pub enum FactsError {
    /// The site medium is not good.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A file of the management data is not there.
    #[error("read {path}: {cause}; the executer copies it from the share, is it there?")]
    Read {
        /// The local copy.
        path: PathBuf,
        /// The error of the file system.
        cause: io::Error,
    },
    /// A file lacks its trailer, or is torn.
    #[error("{path}: {damage}; seal it on the share with `ringward data seal`")]
    Damaged {
        /// The local copy.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// A line is not what it should be.
    #[error(transparent)]
    Line(#[from] ParseError),
    /// The settings are not good.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// This server is not in the cluster.
    #[error("{name} is in neither group nor separation file; expected one of {known}")]
    Stranger {
        /// The name of the site medium.
        name: String,
        /// The servers of the cluster.
        known: String,
    },
}

impl Facts {
    /// Reads them all.
    ///
    /// # Errors
    /// [`FactsError`]: which file, which line, what was expected.
    pub async fn load(paths: &Paths) -> Result<Self, FactsError> {
        let site = Site::load(&paths.site)?;
        let home = paths.last_good();
        // Together they are all servers; a server that is being moved may stand in both.
        let group = sealed(&home, "group")?;
        let separation = match sealed(&home, "separation") {
            Err(FactsError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                String::new()
            }
            other => other?,
        };
        let mut base = Group::parse("group", &group)?;
        for member in Group::parse("separation", &separation)?.members() {
            base.insert(member.clone());
        }
        let mut data = BTreeMap::new();
        for member in base.members() {
            let text = read(&home, &member.data)?;
            let found = ManagementData::parse(&member.data, &text)?;
            data.insert(member.name.clone(), found);
        }
        let Some(own) = data.get(&site.name).cloned() else {
            let known: Vec<String> = base.names().map(ToString::to_string).collect();
            let (name, known) = (site.name.to_string(), known.join(", "));
            return Err(FactsError::Stranger { name, known });
        };
        let settings = Settings::parse("cluster.toml", &read(&home, "cluster.toml")?)?;
        let vm_memory_kb = vm_memory(&Share::open(&paths.share, SIZE), &data).await;
        let config = Config {
            me: site.name.clone(),
            base,
            data,
            settings,
            vm_memory_kb,
            boot: boot(),
        };
        let started = jiff::Timestamp::now().to_string();
        Ok(Self {
            site,
            config,
            own,
            started,
        })
    }
}

fn read(home: &Path, name: &str) -> Result<String, FactsError> {
    let path = home.join(name);
    fs::read_to_string(&path).map_err(|cause| FactsError::Read { path, cause })
}

fn sealed(home: &Path, name: &str) -> Result<String, FactsError> {
    let text = read(home, name)?;
    match unseal(text.as_bytes()) {
        Ok(text) => Ok(text.to_owned()),
        Err(damage) => Err(FactsError::Damaged {
            path: home.join(name),
            damage,
        }),
    }
}

/// Memory of each backup VM, from its image's `vm.toml`. What the share does not tell in time
/// counts as nothing: then room is not checked.
async fn vm_memory(
    share: &Share,
    data: &BTreeMap<crate::cluster::ServerName, ManagementData>,
) -> BTreeMap<crate::cluster::ServerName, u64> {
    #[derive(serde::Deserialize)]
    struct Size {
        memory_mb: u64,
    }
    let mut needs = BTreeMap::new();
    for (server, data) in data {
        let name = format!("images/{}/vm.toml", data.vm_name);
        let bytes = match share.read(&name).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!("memory of {} is not known: {error}", data.vm_name);
                if !error.is_not_found() {
                    break;
                }
                continue;
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(size) = toml::from_str::<Size>(&text) {
            needs.insert(server.clone(), size.memory_mb * 1024);
        }
    }
    needs
}

/// A number of this start; only whether it is the same matters.
fn boot() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos: u64 = since
        .as_ref()
        .map_or(0, |since| since.subsec_nanos().into());
    let seconds = since.map_or(0, |since| since.as_secs());
    // Kept below 2^53, which every JSON reader holds exactly.
    (((seconds << 20) | (nanos / 1000)) & ((1 << 53) - 1)) ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::seal;

    const MAIL: &str = "172.21.14.201\nmail\n172.21.14.1\n00:00:00:00:00:01\npostfix\nNETWORK\n\
                        mailb\n172.21.14.101\n";

    fn paths(root: &Path) -> Paths {
        let at = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        Paths {
            site: at("site"),
            state: at("state"),
            share: at("share"),
            run: at("run"),
        }
    }

    #[tokio::test]
    async fn group_and_separation_are_all_servers() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path());
        let home = paths.last_good();
        fs::create_dir_all(&home).unwrap();
        fs::write(paths.site.join("node.toml"), "name = \"mail\"\n").unwrap();
        let missing = Facts::load(&paths).await.unwrap_err().to_string();
        assert!(
            missing.contains("the executer copies it from the share"),
            "{missing}"
        );

        let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
        write("group", &seal("2 ftp ftp.dat\n"));
        write("separation", &seal("1 mail mail.dat\n2 ftp ftp.dat\n"));
        write("mail.dat", MAIL);
        write("ftp.dat", &MAIL.replace("mail", "ftp"));
        write("cluster.toml", "profile = \"fast\"\n");
        let size = paths.share.join("images/mailb");
        fs::create_dir_all(&size).unwrap();
        fs::write(size.join("vm.toml"), "memory_mb = 192\nvcpus = 1\n").unwrap();
        let facts = Facts::load(&paths).await.unwrap();
        let names: Vec<String> = facts.config.base.names().map(ToString::to_string).collect();
        assert_eq!(names, ["mail", "ftp"]);
        assert_eq!(
            facts.config.vm_memory_kb.get(&facts.config.me),
            Some(&196_608)
        );

        fs::write(paths.site.join("node.toml"), "name = \"web\"\n").unwrap();
        let stranger = Facts::load(&paths).await.unwrap_err().to_string();
        assert!(
            stranger.starts_with("web is in neither group nor separation"),
            "{stranger}"
        );
        write("group", "2 ftp ftp.dat\n");
        let torn = Facts::load(&paths).await.unwrap_err();
        assert!(matches!(torn, FactsError::Damaged { .. }), "{torn}");
    }
}
