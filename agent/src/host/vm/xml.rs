//! The machine that a backup VM is, as libvirt's XML. Pure.
//!
//! A golden state fits only the machine it was saved from, device by device. Nothing may depend on
//! the server: the processor is the host's own (all servers of a cluster are alike), the disk's
//! path is the same everywhere, and libvirt fixes machine version and addresses in the saved state.

use std::path::Path;

use crate::cluster::Mac;

/// What differs between VMs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    pub(super) memory_mb: u32,
    pub(super) vcpus: u32,
    pub(super) mac: Mac,
    pub(super) disk: &'a Path,
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    pub(super) cmdline: &'a str,
    pub(super) console: &'a Path,
    pub(super) emulator: &'a str,
    pub(super) machine: &'a str,
    pub(super) bridge: &'a str,
}

/// The domain's description.
pub(super) fn domain(vm: &Machine<'_>) -> String {
    let Machine {
        memory_mb,
        vcpus,
        mac,
        ..
    } = vm;
    let path = |path: &Path| escape(&path.display().to_string());
    let (disk, console) = (path(vm.disk), path(vm.console));
    let (kernel, initrd) = (path(vm.kernel), path(vm.initrd));
    let (name, cmdline) = (escape(vm.name), escape(vm.cmdline));
    let (emulator, machine, bridge) = (escape(vm.emulator), escape(vm.machine), escape(vm.bridge));
    // The disk's content is thrown away with the VM, so no flush ever has to wait for it.
    format!(
        "\
<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mb}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <clock offset='utc'>
    <timer name='hpet' present='no'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='rtc' tickpolicy='catchup'/>
  </clock>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='{bridge}'/>
      <model type='virtio'/>
      <driver name='qemu'/>
      <rom enabled='no'/>
    </interface>
    <controller type='virtio-serial' index='0' ports='2'/>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <serial type='file'>
      <source path='{console}'/>
      <target port='0'/>
    </serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <audio id='1' type='none'/>
  </devices>
</domain>
"
    )
}

/// The description of a saved machine, as libvirt formats it, without what it was booted from.
pub(super) fn without_boot(description: &str) -> String {
    let boots = |line: &&str| {
        ["<kernel>", "<initrd>", "<cmdline>"]
            .iter()
            .any(|element| line.trim_start().starts_with(element))
    };
    let kept = description.lines().filter(|line| !boots(line));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Text that may stand in an element or between single quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftpb() -> Machine<'static> {
        Machine {
            name: "ftpb",
            memory_mb: 256,
            vcpus: 1,
            mac: Mac([0, 0, 0, 0, 1, 3]),
            disk: Path::new("/var/lib/ringward/vm/ftpb.qcow2"),
            kernel: Path::new("/share/images/ftpb/vmlinuz"),
            initrd: Path::new("/share/images/ftpb/initrd"),
            cmdline: "root=PARTLABEL=root console=ttyS0",
            console: Path::new("/var/lib/ringward/vm/ftpb.console"),
            emulator: "/usr/bin/qemu-system-x86_64",
            machine: "q35",
            bridge: "br0",
        }
    }

    #[test]
    fn the_machine_of_a_backup_vm() {
        insta::assert_snapshot!(domain(&ftpb()));
    }

    #[test]
    fn a_saved_machine_names_no_kernel() {
        let (before, after) = (domain(&ftpb()), without_boot(&domain(&ftpb())));
        let gone: Vec<&str> = before
            .lines()
            .filter(|line| !after.lines().any(|kept| kept == *line))
            .collect();
        assert_eq!(
            gone,
            [
                "    <kernel>/share/images/ftpb/vmlinuz</kernel>",
                "    <initrd>/share/images/ftpb/initrd</initrd>",
                "    <cmdline>root=PARTLABEL=root console=ttyS0</cmdline>",
            ]
        );
        assert_eq!(without_boot(&after), after);
    }

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let vm = Machine {
            cmdline: "a='<b>' & \"c\"",
            ..ftpb()
        };
        assert!(
            domain(&vm).contains("<cmdline>a=&apos;&lt;b&gt;&apos; &amp; &quot;c&quot;</cmdline>")
        );
    }
}
