//! Everything that a golden state is made from, taken from the share and the site medium.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ringward::cluster::{ManagementData, Service, Settings};
use ringward::host::lan::Lan;
use ringward::host::vm::{Hypervisor, Plan, VmSettings};
use ringward::probe::Accounts;
use ringward::share::Share;
use ringward::site::{Paths, Site};

/// Time for one file of the share.
const DEADLINE: Duration = Duration::from_secs(10);

/// One backup VM.
pub(super) struct Backup {
    pub(super) plan: Plan,
    pub(super) settings: VmSettings,
    pub(super) services: Vec<Service>,
    pub(super) daemons: String,
    pub(super) accounts: Accounts,
    ours: Cell<bool>,
}

impl Backup {
    /// The backup VM of the server `name`.
    pub(super) async fn load(paths: &Paths, name: &str) -> Result<Self> {
        let site = Site::load(&paths.site)?;
        let share = Share::open(&paths.share, DEADLINE);
        let file = format!("{name}.dat");
        let data = match text(&share, &file).await {
            Ok(text) => ManagementData::parse(&file, &text)?,
            Err(error) => match known(&share).await {
                servers if servers.is_empty() => return Err(error),
                servers => bail!("there is no {file} on the share; known servers: {servers}"),
            },
        };
        let settings = Settings::parse("cluster.toml", &text(&share, "cluster.toml").await?)?;
        let hosts = paths.site.join("hosts");
        let hosts =
            fs::read_to_string(&hosts).with_context(|| format!("read {}", hosts.display()))?;
        let (_, prefix) = Lan::open(&site.device)?.address().await?;
        let daemons: Vec<_> = data.daemons.iter().map(|daemon| daemon.name()).collect();
        Ok(Self {
            plan: Plan {
                vm: data.vm_name.clone(),
                ipv: data.ipv,
                mac: data.mac.of_vm(),
                hosts,
            },
            settings: vm_settings(paths, &site, prefix),
            services: data.daemons.iter().map(|daemon| daemon.service()).collect(),
            daemons: daemons.join(" "),
            accounts: Accounts {
                settings: settings.probe,
                ssh_key: paths.probe_key(),
            },
            ours: Cell::new(false),
        })
    }

    /// Makes sure that the VM is not here yet; from now on it is ours to destroy.
    pub(super) async fn take(&self, hypervisor: &Hypervisor) -> Result<()> {
        let here = hypervisor.running().await?;
        if let Some((vm, state)) = here.iter().find(|(name, _)| name == self.plan.vm.as_str()) {
            bail!(
                "{vm} is {state} on this server; do this on another one, or clear the flag here first"
            );
        }
        self.ours.set(true);
        Ok(())
    }

    /// Whether the VM was started by this command.
    pub(super) fn is_ours(&self) -> bool {
        self.ours.get()
    }
}

fn vm_settings(paths: &Paths, site: &Site, prefix: u8) -> VmSettings {
    VmSettings {
        bridge: site.device.clone(),
        prefix,
        images: paths.share.join("images"),
        backup: paths.share.join("backup"),
        work: paths.state.join("vm"),
        ..VmSettings::default()
    }
}

async fn text(share: &Share, name: &str) -> Result<String> {
    let bytes = share.read(name).await?;
    let shown = Path::new(name).display();
    String::from_utf8(bytes).with_context(|| format!("{shown} on the share is not text"))
}

async fn known(share: &Share) -> String {
    let names = share.list(".").await.unwrap_or_default();
    let servers: Vec<_> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".dat"))
        .collect();
    servers.join(", ")
}
