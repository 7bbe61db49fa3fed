//! What can go wrong with a backup VM.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a backup VM is not as it was wanted.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The hypervisor's daemon does not answer.
    #[error("connect to the hypervisor at {uri}; see `systemctl status libvirtd`")]
    Connect {
        /// Where the hypervisor was looked for.
        uri: String,
        /// What libvirt said.
        source: virt::error::Error,
    },
    /// The hypervisor refused.
    #[error("{doing} {vm}")]
    Hypervisor {
        /// What was being done.
        doing: &'static str,
        /// To which VM.
        vm: String,
        /// What libvirt said.
        source: virt::error::Error,
    },
    /// The VM is not in the state that the request needs.
    #[error("{doing} {vm}: it is {found}, expected {expected}")]
    State {
        /// What was being done.
        doing: &'static str,
        /// To which VM.
        vm: String,
        /// Its state.
        found: String,
        /// The state that was needed.
        expected: &'static str,
    },
    /// The guest did not do in time what it was asked.
    #[error("{doing} in {vm}: not done within {} ms: {last}", within.as_millis())]
    GuestLate {
        /// What was being done.
        doing: &'static str,
        /// In which VM.
        vm: String,
        /// How long the guest had.
        within: Duration,
        /// The last thing heard of the guest agent.
        last: String,
    },
    /// The guest did it and it failed.
    #[error("{doing} in {vm}: {reason}")]
    Guest {
        /// What was being done.
        doing: &'static str,
        /// In which VM.
        vm: String,
        /// What the guest said.
        reason: String,
    },
    /// The lifetime of the virtual address in the guest ran out before it was renewed.
    #[error("renew the virtual address in {vm}: it is gone, its lifetime ran out")]
    Lapsed {
        /// In which VM.
        vm: String,
    },
    /// There is no usable golden state, or an image is not whole.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file that is missing or wrong.
        path: PathBuf,
        /// What was found, what was expected and what helps.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Whoever asked has stopped waiting, so the rest was left undone.
    #[error("given up, since nobody waits for it any more")]
    Abandoned,
}

impl VmError {
    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }

    pub(super) fn hypervisor(
        doing: &'static str,
        vm: &str,
    ) -> impl FnOnce(virt::error::Error) -> Self + use<> {
        let vm = vm.to_owned();
        move |source| Self::Hypervisor { doing, vm, source }
    }
}
