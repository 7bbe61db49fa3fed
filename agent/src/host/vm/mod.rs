//! Backup VMs on this server, by libvirt.
//!
//! A golden state is made once ([`Hypervisor::boot`], wait until its service answers,
//! [`Hypervisor::save`]) and resumed any number of times on any server: [`Hypervisor::load`] keeps
//! it in memory, paused; [`Hypervisor::activate`] makes it run; [`Hypervisor::release`] destroys it
//! with all that it wrote. The VM's virtual address has a lifetime as on a real server and is
//! renewed through the guest agent.
//!
//! Whoever stops waiting for an operation takes it back as far as it has not happened yet. Callers
//! bring their own deadlines: a hung share can hold up a lane for as long as it hangs.

mod error;
mod guest;
mod image;
mod lane;
mod life;
mod prefetch;
mod process;
mod qcow2;
mod script;
mod settings;
mod store;
mod xml;

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use error::VmError;
pub use settings::VmSettings;
pub use store::{Golden, Meta, Sum, Version};

use crate::cluster::{Mac, ServerName};
use lane::{Desk, Lane};
use script::VipOf;

/// What a VM on this server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VmState {
    /// Loaded and paused.
    Standby,
    /// Serving, or about to.
    Running,
    /// Shutting down or crashed.
    Other,
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Standby => "on standby",
            Self::Running => "running",
            Self::Other => "ending",
        })
    }
}

/// A golden state to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The VM's host name; its image has the same name.
    pub vm: ServerName,
    /// The VM's own address (IPV).
    pub ipv: Ipv4Addr,
    /// The VM's hardware address, one of its own in the cluster.
    pub mac: Mac,
    /// What its /etc/hosts is to say: at least file server 2.
    pub hosts: String,
}

/// The hypervisor of this server; cheap to copy.
#[derive(Debug, Clone)]
pub struct Hypervisor {
    settings: Arc<VmSettings>,
    /// For what concerns no single VM.
    lobby: Arc<Lane>,
    lanes: Arc<Mutex<HashMap<ServerName, Arc<Lane>>>>,
}

impl Hypervisor {
    /// Starts without waiting for the hypervisor's daemon; see [`Hypervisor::ready`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(settings: VmSettings) -> Result<Self, VmError> {
        // Errors are returned and told once, not also printed by libvirt.
        virt::error::clear_error_callback();
        let settings = Arc::new(settings);
        let lobby = Arc::new(Lane::start("lobby", settings.clone())?);
        Ok(Self {
            settings,
            lobby,
            lanes: Arc::default(),
        })
    }

    /// The settings it was started with.
    pub fn settings(&self) -> &VmSettings {
        &self.settings
    }

    /// Waits until the hypervisor answers. The first answer can take ten seconds, so this is to be
    /// done before a VM is needed.
    ///
    /// # Errors
    /// The last one, when time runs out.
    pub async fn ready(&self, within: Duration) -> Result<(), VmError> {
        let until = tokio::time::Instant::now() + within;
        loop {
            match self.running().await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= until => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// All VMs on this server and what they do, by name.
    ///
    /// # Errors
    /// When the hypervisor does not answer.
    pub async fn running(&self) -> Result<Vec<(String, VmState)>, VmError> {
        self.lobby.run(|desk| life::list(desk.connection)).await
    }

    /// First half of making a golden state: boots the VM from its image and gives it its own
    /// address. Then examine its services at that address, and [`Hypervisor::save`] it.
    ///
    /// # Errors
    /// When the image is not whole, the VM exists here, or its guest agent does not answer in time.
    pub async fn boot(&self, plan: Plan) -> Result<(), VmError> {
        self.on(&plan.vm.clone(), move |desk| life::boot(desk, &plan))
            .await
    }

    /// Second half: saves the VM as the current golden state of its name. The VM is gone then.
    ///
    /// # Errors
    /// When the VM does not run here, or the share does not take the state; then the state before
    /// stays the current one.
    pub async fn save(&self, plan: Plan) -> Result<Meta, VmError> {
        self.on(&plan.vm.clone(), move |desk| life::save(desk, &plan))
            .await
    }

    /// Loads the current golden state and keeps it paused. Costs the VM's used memory.
    ///
    /// # Errors
    /// When the VM exists here or there is no usable golden state.
    pub async fn load(&self, vm: &ServerName) -> Result<Meta, VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| life::load(desk, name.as_str(), true))
            .await
    }

    /// Reads the current golden state once, so that [`Hypervisor::activate`] finds it in this server's page
    /// cache. Costs no memory that others need.
    ///
    /// # Errors
    /// When there is no usable golden state, or the share does not hand it out.
    pub async fn read_ahead(&self, vm: &ServerName) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| life::read_ahead(desk, name.as_str()))
            .await
    }

    /// Makes the VM run: resumes it if it is loaded (under a second), restores it from the share if
    /// not (seconds). It serves nobody before [`Hypervisor::set_vip`].
    ///
    /// # Errors
    /// When it cannot be resumed or there is no usable golden state.
    pub async fn activate(&self, vm: &ServerName) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| life::activate(desk, name.as_str()))
            .await
    }

    /// Has a VM that was made to run take the time, fresh random numbers and its users' data, so that its first
    /// client need not wait for them. Returns when the guest has begun.
    ///
    /// # Errors
    /// When the VM does not run here or its guest agent does not answer.
    pub async fn wake(&self, vm: &ServerName) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| life::wake(desk, name.as_str()))
            .await
    }

    /// Gives the running VM the virtual address for this long.
    /// Announce the address afterwards, in the name of the VM's hardware address.
    ///
    /// # Errors
    /// When the guest does not answer or refuses.
    pub async fn set_vip(
        &self,
        vm: &ServerName,
        vip: Ipv4Addr,
        valid: Duration,
    ) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| {
            let device = &desk.settings.guest_device;
            life::set_vip(desk, name.as_str(), &VipOf { vip, device, valid })
        })
        .await
    }

    /// Prolongs the virtual address in the running VM.
    ///
    /// # Errors
    /// [`VmError::Lapsed`] when it is gone: then look for a duplicate before setting it again.
    pub async fn renew_vip(
        &self,
        vm: &ServerName,
        vip: Ipv4Addr,
        valid: Duration,
    ) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| {
            let device = &desk.settings.guest_device;
            life::renew_vip(desk, name.as_str(), &VipOf { vip, device, valid })
        })
        .await
    }

    /// Destroys the VM at once, its addresses and all that it wrote. No error if there is none.
    ///
    /// # Errors
    /// When the hypervisor refuses; then it may still run.
    pub async fn release(&self, vm: &ServerName) -> Result<(), VmError> {
        let name = vm.clone();
        self.on(vm, move |desk| life::release(desk, name.as_str()))
            .await
    }

    /// Kills the VM without asking the hypervisor's daemon, which may be gone: when a server shuts down, it
    /// is stopped first. Whether there was one.
    ///
    /// # Errors
    /// When its process cannot be told or killed; then it may still run.
    pub fn kill(&self, vm: &ServerName) -> Result<bool, VmError> {
        process::kill(&self.settings, vm.as_str())
    }

    /// Runs a job in the lane of a VM.
    async fn on<T: Send + 'static>(
        &self,
        vm: &ServerName,
        job: impl FnOnce(&Desk<'_>) -> Result<T, VmError> + Send + 'static,
    ) -> Result<T, VmError> {
        let lane = self.lane(vm)?;
        lane.run(job).await
    }

    fn lane(&self, vm: &ServerName) -> Result<Arc<Lane>, VmError> {
        // No job runs under the lock, so nothing is half done when it is poisoned.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(vm) {
            return Ok(lane.clone());
        }
        let lane = Arc::new(Lane::start(vm.as_str(), self.settings.clone())?);
        lanes.insert(vm.clone(), lane.clone());
        Ok(lane)
    }
}

#[cfg(test)]
mod tests {
    //! Against libvirt's own test driver, which keeps one running domain `test` in this process.

    use super::*;

    fn hypervisor(work: &std::path::Path) -> Hypervisor {
        let settings = VmSettings {
            uri: "test:///default".into(),
            work: work.into(),
            backup: work.join("backup"),
            ..VmSettings::default()
        };
        Hypervisor::start(settings).unwrap()
    }

    fn vm(name: &str) -> ServerName {
        name.parse().unwrap()
    }

    // One test, since the driver's domain is the same for all connections of this process.
    #[tokio::test]
    async fn vms_are_listed_kept_running_and_released() {
        let dir = tempfile::tempdir().unwrap();
        let hypervisor = hypervisor(dir.path());
        let test = vm("test");
        hypervisor.ready(Duration::from_secs(20)).await.unwrap();
        let running = [("test".to_owned(), VmState::Running)];
        assert_eq!(hypervisor.running().await.unwrap(), running);
        hypervisor.activate(&test).await.unwrap();
        let error = hypervisor.load(&test).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "load test: it is running, expected absent (release it first)"
        );

        // A job that nobody waits for any more is not begun.
        let (begin, gate) = std::sync::mpsc::channel::<()>();
        let blocked = hypervisor.on(&test, move |_| {
            let _ = gate.recv();
            Ok(())
        });
        let mut blocked = std::pin::pin!(blocked);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut blocked).await.is_err());
        assert!(
            tokio::time::timeout(soon, hypervisor.release(&test))
                .await
                .is_err()
        );
        begin.send(()).unwrap();
        blocked.await.unwrap();
        hypervisor.on(&test, |_| Ok(())).await.unwrap();
        assert_eq!(
            hypervisor.running().await.unwrap(),
            running,
            "it was released after all"
        );

        let overlay = dir.path().join("test.qcow2");
        std::fs::write(&overlay, "").unwrap();
        hypervisor.release(&test).await.unwrap();
        assert!(!overlay.exists());
        hypervisor.release(&test).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let hypervisor = hypervisor(dir.path());
        let error = hypervisor.activate(&vm("ftpb")).await.unwrap_err();
        let pointer = dir.path().join("backup/ftpb/current");
        assert_eq!(error.to_string(), format!("read {}", pointer.display()));
        let vip = Ipv4Addr::new(172, 21, 14, 203);
        let error = hypervisor
            .set_vip(&vm("ftpb"), vip, Duration::from_secs(9))
            .await;
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            "set the virtual address of ftpb: it is absent, expected running"
        );
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = VmSettings {
            uri: format!("qemu+unix:///system?socket={}/none", dir.path().display()),
            ..VmSettings::default()
        };
        let hypervisor = Hypervisor::start(settings).unwrap();
        let error = hypervisor
            .ready(Duration::ZERO)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("connect to the hypervisor at qemu+unix:"),
            "{error}"
        );
    }
}
