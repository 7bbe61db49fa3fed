//! A backup VM as a process of this server: for the end of the agent, when libvirt's daemon may have been
//! stopped before, and its VMs would run until the kernel stops.

use std::fs;
use std::io::{self, ErrorKind};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::settings::VmSettings;
use super::{VmError, life};

/// Kills the VM's QEMU and removes what it wrote. Whether there was one.
pub(super) fn kill(settings: &VmSettings, vm: &str) -> Result<bool, VmError> {
    let killed = kill_process(settings, vm)?;
    life::remove(&settings.overlay(vm))?;
    Ok(killed)
}

fn kill_process(settings: &VmSettings, vm: &str) -> Result<bool, VmError> {
    let file = settings.pid_file(vm);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.map_err(VmError::file("read", &file))?,
    };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
        let no_number = io::Error::new(ErrorKind::InvalidData, format!("no process id: {text:?}"));
        return Err(VmError::file("read", &file)(no_number));
    };
    kill_if(pid, |arguments| is_guest(arguments, vm))
        .map_err(VmError::file("kill the process of", &file))
}

/// Kills a process with the right arguments. The number may have become another's, so the process is held
/// before it is looked at.
fn kill_if(pid: Pid, right: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        other => other?,
    };
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    if !arguments.is_ok_and(|arguments| right(&arguments)) {
        return Ok(false);
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Whether these are the arguments of the QEMU that libvirt started for the VM.
fn is_guest(arguments: &[u8], vm: &str) -> bool {
    let name = format!("guest={vm}");
    arguments
        .split(|&byte| byte == 0)
        .any(|argument| argument.split(|&byte| byte == b',').next() == Some(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    fn settings(run: &Path) -> VmSettings {
        VmSettings {
            run: run.into(),
            work: run.into(),
            ..VmSettings::default()
        }
    }

    /// A process with an argument like QEMU's, under the id that the VM's file names.
    fn process(run: &Path, argument: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", "echo; read -r line", argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its arguments are there when it runs, not when it has been started.
        let mut word = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut word)
            .unwrap();
        fs::write(run.join("ftpb.pid"), format!("{}\n", child.id())).unwrap();
        child
    }

    #[test]
    fn a_vm_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = process(dir.path(), "guest=ftpb,debug-threads=on");
        let overlay = dir.path().join("ftpb.qcow2");
        fs::write(&overlay, "").unwrap();
        assert!(kill(&settings(dir.path()), "ftpb").unwrap());
        assert!(!child.wait().unwrap().success());
        assert!(!overlay.exists());
        assert!(!kill(&settings(dir.path()), "ftpb").unwrap(), "it is gone");
    }

    #[test]
    fn another_process_with_its_number_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = process(dir.path(), "guest=ftpb2,debug-threads=on");
        assert!(!kill(&settings(dir.path()), "ftpb").unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn without_a_file_there_is_no_vm_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        assert!(!kill(&settings, "ftpb").unwrap());
        fs::write(dir.path().join("ftpb.pid"), "").unwrap();
        let error = kill(&settings, "ftpb").unwrap_err();
        assert!(error.to_string().starts_with("read "), "{error}");
    }
}
