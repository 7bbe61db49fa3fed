//! Which accelerator the machines get: KVM where it is real, else QEMU's own emulation (TCG).
//!
//! That `/dev/kvm` exists proves nothing: on some hosts it interprets at about two million
//! instructions a second, on others it kills stock kernels. So a tiny guest, a loop of a fixed
//! number of turns in a firmware image made here, runs under both accelerators in processes that
//! can be killed, and KVM is taken only if it finishes and is not slower than emulation. The
//! servers run backup VMs of their own, so KVM must also be able to nest.

use super::bundle::Toolbox;
use super::children::Nursery;
use super::error::{LabError, Result};
use std::ffi::OsString;
use std::fmt::{Display, Formatter};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

/// Turns of the probe's loop: 0.02-0.1 s on a processor, 0.2-0.5 s emulated, 50 s interpreted.
const TURNS: u32 = 50_000_000;
/// What the guest writes to QEMU's exit device; QEMU then ends with twice that plus one.
const EXIT_VALUE: u8 = 0x10;
/// How long the emulated probe may take: seconds even on a busy host.
const EMULATED_WITHIN: Duration = Duration::from_secs(30);
/// KVM slower than this is not worth having, whatever emulation takes.
const KVM_WITHIN: Duration = Duration::from_secs(3);

/// What the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Wanted {
    /// Decide by the timed probe.
    #[default]
    Auto,
    /// KVM, unprobed.
    Kvm,
    /// Emulation, unprobed.
    Tcg,
}

/// An accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's emulation, with emulated SVM and nested paging, so that `kvm_amd` loads in a server.
    Tcg,
}

/// The accelerator, and why it.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The accelerator.
    pub accel: Accel,
    /// The reason, for the operator.
    pub why: String,
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.accel.name(), self.why)
    }
}

impl Accel {
    /// As in QEMU's own words.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }

    /// QEMU's arguments. Saved states are bound to them.
    pub fn args(self) -> [&'static str; 4] {
        match self {
            Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
            // Without AES, SSE4 and RDRAND TLS and SSH cost several times as much under emulation.
            Accel::Tcg => [
                "-accel",
                "tcg,thread=multi,tb-size=256",
                "-cpu",
                "qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt,+aes,+pclmulqdq,+rdrand,+rdseed",
            ],
        }
    }
}

/// Chooses, by the probe if the operator leaves it open.
pub fn choose(wanted: Wanted, tools: &Toolbox, nursery: &Nursery, dir: &Path) -> Result<Choice> {
    let said = |accel| Choice {
        accel,
        why: "as told by --accel".to_owned(),
    };
    match wanted {
        Wanted::Kvm => return Ok(said(Accel::Kvm)),
        Wanted::Tcg => return Ok(said(Accel::Tcg)),
        Wanted::Auto => {}
    }
    let tcg = |why: String| {
        Ok(Choice {
            accel: Accel::Tcg,
            why,
        })
    };
    if let Err(error) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        return tcg(format!("/dev/kvm cannot be opened: {error}"));
    }
    let rom = dir.join("probe.rom");
    std::fs::write(&rom, firmware()).map_err(LabError::io("write", &rom))?;
    let kvm = probe(Accel::Kvm, KVM_WITHIN, tools, nursery, dir);
    let verdict = match kvm {
        Err(LabError::Interrupted) => return Err(LabError::Interrupted),
        Err(error) => tcg(format!("KVM fails the timed probe: {error}")),
        Ok(_) if !nests() => {
            tcg("this host's KVM does not nest, and the servers run VMs".to_owned())
        }
        Ok(kvm) => {
            let emulated = probe(Accel::Tcg, EMULATED_WITHIN, tools, nursery, dir)?;
            Ok(judge(kvm, emulated))
        }
    };
    std::fs::remove_file(&rom).map_err(LabError::io("remove", &rom))?;
    verdict
}

/// The verdict on two times of the probe.
fn judge(kvm: Duration, emulated: Duration) -> Choice {
    let times = format!(
        "{:.2} s, emulated {:.2} s",
        kvm.as_secs_f64(),
        emulated.as_secs_f64()
    );
    if kvm <= emulated {
        Choice {
            accel: Accel::Kvm,
            why: format!("timed probe: {times}"),
        }
    } else {
        Choice {
            accel: Accel::Tcg,
            why: format!("KVM is no faster; timed probe: {times}"),
        }
    }
}

/// Whether this host's KVM says that its guests can be hosts.
fn nests() -> bool {
    ["kvm_intel", "kvm_amd"].iter().any(|module| {
        let path = format!("/sys/module/{module}/parameters/nested");
        std::fs::read_to_string(path).is_ok_and(|v| matches!(v.trim(), "Y" | "1"))
    })
}

/// Runs the tiny guest and returns the time from start to end of its process.
fn probe(
    accel: Accel,
    within: Duration,
    tools: &Toolbox,
    nursery: &Nursery,
    dir: &Path,
) -> Result<Duration> {
    let path = dir.join(format!("probe-{}.log", accel.name()));
    let mut log = std::fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(LabError::io("write", &path))?;
    let mut args: Vec<OsString> = accel.args().iter().map(OsString::from).collect();
    args.extend(
        [
            "-machine",
            "pc-q35-10.0",
            "-m",
            "16",
            "-nodefaults",
            "-no-user-config",
        ]
        .map(OsString::from),
    );
    args.extend(["-display", "none", "-no-reboot", "-bios"].map(OsString::from));
    args.push(dir.join("probe.rom").into());
    args.extend(["-L", &tools.path("usr/share/seabios").to_string_lossy()].map(OsString::from));
    args.extend(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"].map(OsString::from));
    let start = Instant::now();
    let handle = log.try_clone().map_err(LabError::io("open", &path))?;
    let mut child = nursery.spawn(tools, "qemu-system-x86_64", &args, handle)?;
    let status = loop {
        let ended = child
            .try_wait()
            .map_err(LabError::io("wait for the process of", &path))?;
        if let Some(status) = ended {
            break status;
        }
        if start.elapsed() > within {
            let _ = child.kill();
            let _ = child.wait();
            let what = format!("finish {TURNS} turns of a loop");
            return Err(LabError::timeout("the probe", &what, within, ""));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = start.elapsed();
    if status.code() == Some(i32::from(EXIT_VALUE) * 2 + 1) {
        return Ok(took);
    }
    let mut said = Vec::new();
    let _ = log
        .seek(SeekFrom::Start(0))
        .and_then(|_| log.read_to_end(&mut said));
    // The first line says why; what follows is how QEMU dies of it.
    let output = String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or("it said nothing")
        .to_owned();
    let tool = format!("QEMU with {}", accel.name());
    Err(LabError::Tool {
        tool,
        status: status.to_string(),
        output,
    })
}

/// A 64 KiB firmware whose reset vector leads to the loop.
fn firmware() -> Vec<u8> {
    let turns = TURNS.to_le_bytes();
    let program = [
        &[0xfa][..], // cli
        &[0x66, 0xb9][..],
        &turns[..],              // mov ecx, TURNS
        &[0x66, 0x49][..],       // dec ecx
        &[0x75, 0xfc][..],       // jnz to the dec
        &[0xba, 0xf4, 0x00][..], // mov dx, 0xf4: the exit device
        &[0xb0, EXIT_VALUE][..], // mov al, EXIT_VALUE
        &[0xee][..],             // out dx, al
        &[0xf4][..],             // hlt
        &[0xeb, 0xfd][..],       // jmp to the hlt
    ]
    .concat();
    let mut rom = vec![0xf4; 0x1_0000];
    rom[..program.len()].copy_from_slice(&program);
    rom[0xfff0..0xfff5].copy_from_slice(&[0xea, 0x00, 0x00, 0x00, 0xf0]); // jmp f000:0000
    rom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_must_not_be_slower_than_emulation() {
        let (fast, slow) = (Duration::from_millis(80), Duration::from_millis(250));
        let yes = judge(fast, slow);
        assert_eq!(
            (yes.accel, yes.to_string().as_str()),
            (Accel::Kvm, "kvm (timed probe: 0.08 s, emulated 0.25 s)")
        );
        assert_eq!(judge(slow, fast).accel, Accel::Tcg);
    }

    #[test]
    fn the_firmware_starts_where_a_processor_does() {
        let rom = firmware();
        assert_eq!(rom.len(), 65536);
        assert_eq!(rom[0xfff0], 0xea);
        assert_eq!(rom[0], 0xfa);
    }
}
