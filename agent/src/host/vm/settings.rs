//! Where backup VMs live on a server.

use std::path::PathBuf;
use std::time::Duration;

/// What is the same for all backup VMs of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSettings {
    /// The hypervisor that libvirt drives.
    pub uri: String,
    /// The bridge that VMs join.
    pub bridge: String,
    /// The length of the prefix of the LAN.
    pub prefix: u8,
    /// QEMU. A golden state can be resumed only by the version that saved it.
    pub emulator: String,
    /// QEMU's machine type. An alias such as `q35` is fixed to a version when a state is saved.
    pub machine: String,
    /// VM images on the share: `<vm>/{disk.qcow2,vmlinuz,initrd,cmdline,vm.toml}`.
    pub images: PathBuf,
    /// Golden states on the share: `<vm>/<generation>/{disk.qcow2,memory,meta.toml}`.
    pub backup: PathBuf,
    /// Throw-away overlays and consoles on this server. The same on all servers, since a golden
    /// state remembers the path of its disk.
    pub work: PathBuf,
    /// Where libvirt keeps the process id of each VM: `<vm>.pid`.
    pub run: PathBuf,
    /// The guest's network device.
    pub guest_device: String,
    /// How long a VM may take from power-on to an answer of its guest agent.
    pub boot_within: Duration,
    /// How long a guest may take to do one small thing.
    pub guest_within: Duration,
}

impl Default for VmSettings {
    fn default() -> Self {
        Self {
            uri: "qemu:///system".into(),
            bridge: "br0".into(),
            prefix: 24,
            emulator: "/usr/bin/qemu-system-x86_64".into(),
            machine: "q35".into(),
            images: "/share/images".into(),
            backup: "/share/backup".into(),
            work: "/var/lib/ringward/vm".into(),
            run: "/run/libvirt/qemu".into(),
            guest_device: "eth0".into(),
            boot_within: Duration::from_secs(300),
            guest_within: Duration::from_secs(60),
        }
    }
}

impl VmSettings {
    pub(super) fn overlay(&self, vm: &str) -> PathBuf {
        self.work.join(format!("{vm}.qcow2"))
    }

    pub(super) fn pid_file(&self, vm: &str) -> PathBuf {
        self.run.join(format!("{vm}.pid"))
    }

    pub(super) fn console(&self, vm: &str) -> PathBuf {
        self.work.join(format!("{vm}.console"))
    }
}
