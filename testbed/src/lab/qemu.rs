//! The command line of one machine's QEMU.
//!
//! A saved state is bound to machine type, CPU model and device list, so all are pinned here, and
//! a machine is restored with the very arguments it was saved under plus `-incoming defer`.

use super::accel::Accel;
use super::bundle::{Image, Toolbox};
use super::error::Result;
use super::network::Spec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Counts changes of this file that make saved states unusable.
pub const DEVICES_VERSION: u32 = 2;

/// Kernel parameters that the lab adds to those of the image: a root shell on the serial console,
/// from credentials and so not in any image; no work on processor flaws that emulation lacks; and
/// patience with devices, since on a busy host an emulated one may take a minute to show up.
const LAB_CMDLINE: &str = "systemd.set_credential=agetty.autologin:root \
     systemd.set_credential=login.noauth:yes mitigations=off \
     systemd.default_device_timeout_sec=180";

/// Removes the flag file at boot, by a line for systemd-tmpfiles.
const HOLD: &str = "r /var/lib/ringward/flag";

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `root`, `site`, `share` or `data`.
    pub name: &'static str,
    /// The file: qcow2, or raw for the read-only site medium.
    pub file: PathBuf,
}

/// The sockets of one machine, all in a directory with a short name: the kernel allows 107 octets.
#[derive(Debug, Clone)]
pub struct Sockets {
    /// QEMU's monitor.
    pub monitor: PathBuf,
    /// The same, for events.
    pub events: PathBuf,
    /// The guest agent.
    pub guest: PathBuf,
    /// The serial console.
    pub console: PathBuf,
    /// The switch's end of the LAN.
    pub lan: PathBuf,
}

impl Sockets {
    /// The sockets of `machine` in `dir`.
    pub fn new(dir: &Path, machine: &str) -> Sockets {
        let path = |kind| dir.join(format!("{machine}.{kind}"));
        Sockets {
            monitor: path("qmp"),
            events: path("ev"),
            guest: path("ga"),
            console: path("con"),
            lan: path("lan"),
        }
    }
}

/// Everything that decides how QEMU is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The machine.
    pub spec: Spec,
    /// Its image, for kernel and initrd.
    pub image: Image,
    /// The accelerator.
    pub accel: Accel,
    /// Its disks; the root disk first.
    pub disks: Vec<Disk>,
    /// Its sockets.
    pub sockets: Sockets,
    /// Where its serial console is logged.
    pub console_log: PathBuf,
    /// Boot without the flag file, so that the managers wait until all servers are there.
    pub hold_managers: bool,
}

/// Whether QEMU boots or waits for a saved state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Power on.
    Boot,
    /// Wait for `migrate-incoming`.
    Incoming,
}

impl Launch {
    /// QEMU's arguments.
    pub fn args(&self, tools: &Toolbox, start: Start) -> Result<Vec<OsString>> {
        let mut args = Args::default();
        args.add(
            "-name",
            &format!("{0},process=ringward-{0}", self.spec.name),
        );
        args.flags("-nodefaults -no-user-config -display none");
        args.add(
            "-machine",
            "pc-q35-10.0,vmport=off,usb=off,smm=off,sata=off,smbus=off",
        );
        args.flags(&self.accel.args().join(" "));
        args.add("-smp", "1")
            .add("-m", &self.spec.memory_mb.to_string());
        for place in ["usr/share/qemu", "usr/share/seabios"] {
            args.path("-L", "", &tools.path(place), "");
        }
        args.path("-kernel", "", &self.image.file("vmlinuz"), "");
        args.path("-initrd", "", &self.image.file("initrd"), "");
        let mut append = format!("{} {LAB_CMDLINE}", self.image.cmdline()?);
        if self.hold_managers {
            let line = STANDARD.encode(HOLD);
            append.push_str(" systemd.set_credential_binary=tmpfiles.extra:");
            append.push_str(&line);
        }
        args.add("-append", &append);
        let eager = match self.accel {
            Accel::Kvm => "",
            // The processor is a thread of this process: what it tells a device is done there and
            // then, instead of waking another thread for each word.
            Accel::Tcg => ",ioeventfd=off",
        };
        for disk in &self.disks {
            let kind = if disk.name == "site" {
                format!("if=none,id={},format=raw,readonly=on,file=", disk.name)
            } else {
                format!("if=none,id={},format=qcow2,discard=unmap,file=", disk.name)
            };
            args.path("-drive", &kind, &disk.file, "");
            args.add(
                "-device",
                &format!("virtio-blk-pci,drive={0},serial={0}{eager}", disk.name),
            );
        }
        let s = &self.sockets;
        args.path(
            "-netdev",
            "stream,id=lan,server=off,addr.type=unix,addr.path=",
            &s.lan,
            "",
        );
        // Large frames stand in for what network cards do themselves: cut large segments into
        // frames and join them again. Emulated, each frame costs as much as many kilobytes.
        let nic = format!(
            "virtio-net-pci,netdev=lan,mac={},host_mtu=9000,romfile={eager}",
            self.spec.mac
        );
        args.add("-device", &nic)
            .add("-device", &format!("virtio-rng-pci{eager}"));
        // Each port that could be is polled, whether it is used or not.
        args.add("-device", &format!("virtio-serial-pci,max_ports=2{eager}"));
        args.path(
            "-chardev",
            "socket,id=ga,server=on,wait=off,path=",
            &s.guest,
            "",
        );
        args.add(
            "-device",
            "virtserialport,id=ga,chardev=ga,name=org.qemu.guest_agent.0",
        );
        let log = format!(",logappend=on,logfile={}", commas(&self.console_log));
        args.path(
            "-chardev",
            "socket,id=con,server=on,wait=off,path=",
            &s.console,
            &log,
        );
        args.add("-serial", "chardev:con");
        args.path(
            "-chardev",
            "socket,id=qmp,server=on,wait=off,path=",
            &s.monitor,
            "",
        );
        args.add("-mon", "chardev=qmp,mode=control");
        args.path(
            "-chardev",
            "socket,id=events,server=on,wait=off,path=",
            &s.events,
            "",
        );
        args.add("-mon", "chardev=events,mode=control");
        if start == Start::Incoming {
            args.add("-incoming", "defer");
        }
        Ok(args.0)
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn flags(&mut self, words: &str) -> &mut Args {
        self.0.extend(words.split_whitespace().map(OsString::from));
        self
    }

    fn add(&mut self, flag: &str, value: &str) -> &mut Args {
        self.0.push(flag.into());
        self.0.push(value.into());
        self
    }

    fn path(&mut self, flag: &str, before: &str, path: &Path, after: &str) -> &mut Args {
        let value = if before.is_empty() {
            path.display().to_string()
        } else {
            commas(path)
        };
        self.add(flag, &format!("{before}{value}{after}"))
    }
}

/// In QEMU's option lists a comma of a value is written twice.
fn commas(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::super::bundle::tests::bundle_in;
    use super::super::network::find;
    use super::*;

    #[test]
    fn the_command_line_is_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle_in(dir.path());
        let launch = Launch {
            spec: *find("ftp").unwrap(),
            image: bundle.image("ftp").unwrap().clone(),
            accel: Accel::Tcg,
            disks: vec![
                Disk {
                    name: "root",
                    file: "/r,un/root.qcow2".into(),
                },
                Disk {
                    name: "site",
                    file: "/run/site.img".into(),
                },
            ],
            sockets: Sockets::new(Path::new("/s"), "ftp"),
            console_log: "/run/console.log".into(),
            hold_managers: true,
        };
        let boot = launch.args(&bundle.tools, Start::Boot).unwrap();
        let incoming = launch.args(&bundle.tools, Start::Incoming).unwrap();
        assert_eq!(incoming[..boot.len()], boot);
        assert_eq!(incoming[boot.len()..], ["-incoming", "defer"]);
        let words: Vec<String> = boot
            .iter()
            .map(|w| {
                w.to_string_lossy()
                    .replace(&dir.path().display().to_string(), "DIR")
            })
            .collect();
        insta::assert_snapshot!(
            words
                .join("\n")
                .replace("\n-", "\n\n-")
                .replace('\n', " ")
                .replace("  -", "\n-")
        );
    }
}
