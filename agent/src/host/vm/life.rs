//! The life of a backup VM on this server: boot, save, load, resume, destroy. Blocking; runs in a
//! lane.

use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use super::guest::{self, Agent};
use super::image::Image;
use super::lane::Desk;
use super::prefetch::prefetching;
use super::script::{self, VipOf};
use super::store::{Draft, Golden, Meta, Sum, Version, unusable};
use super::{Plan, VmError, VmState, qcow2, xml};

/// Logs how long the steps of an operation take, for the search of lost time.
pub(super) struct Steps<'a> {
    vm: &'a str,
    last: Instant,
}

impl<'a> Steps<'a> {
    pub(super) fn of(vm: &'a str) -> Self {
        Self {
            vm,
            last: Instant::now(),
        }
    }

    pub(super) fn done(&mut self, step: &str) {
        let ms = self.last.elapsed().as_millis() as u64;
        self.last = Instant::now();
        tracing::info!(vm = self.vm, ms, "{step}");
    }
}

/// A guest agent behind libvirt.
pub(super) struct Guest<'a> {
    pub(super) domain: Domain,
    pub(super) vm: &'a str,
}

impl Agent for Guest<'_> {
    fn vm(&self) -> &str {
        self.vm
    }

    fn ask(&self, command: &str, within: Duration) -> Result<String, String> {
        // Zero would mean not to wait at all.
        let seconds = within.as_secs().clamp(1, 60) as i32;
        self.domain
            .qemu_agent_command(command, seconds, 0)
            .map_err(|error| error.message().to_owned())
    }
}

pub(super) fn find(connection: &Connect, vm: &str) -> Result<Option<Domain>, VmError> {
    match Domain::lookup_by_name(connection, vm) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if error.code() == ErrorNumber::NoDomain => Ok(None),
        Err(source) => Err(VmError::hypervisor("look for", vm)(source)),
    }
}

pub(super) fn state(domain: &Domain, vm: &str) -> Result<VmState, VmError> {
    let (state, _) = domain
        .get_state()
        .map_err(VmError::hypervisor("ask the state of", vm))?;
    Ok(match state {
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => VmState::Running,
        sys::VIR_DOMAIN_PAUSED => VmState::Standby,
        _ => VmState::Other,
    })
}

pub(super) fn list(connection: &Connect) -> Result<Vec<(String, VmState)>, VmError> {
    let domains = connection
        .list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        .map_err(VmError::hypervisor("list", "all VMs"))?;
    let mut found = Vec::new();
    for domain in domains {
        let name = domain
            .get_name()
            .map_err(VmError::hypervisor("name", "a VM"))?;
        // One that ends meanwhile is not running.
        match state(&domain, &name) {
            Ok(state) => found.push((name, state)),
            Err(error) => tracing::debug!(%error, "a VM went away while it was listed"),
        }
    }
    found.sort();
    Ok(found)
}

/// Boots the image of a VM and gives it its own address.
pub(super) fn boot(desk: &Desk<'_>, plan: &Plan) -> Result<(), VmError> {
    let (settings, vm) = (desk.settings, plan.vm.as_str());
    must_be_absent(desk, "boot", vm)?;
    let mut steps = Steps::of(vm);
    let image = Image::open(&settings.images, vm)?;
    make_overlay(desk, vm, &image.disk)?;
    let (overlay, console) = (settings.overlay(vm), settings.console(vm));
    let description = xml::domain(&xml::Machine {
        name: vm,
        memory_mb: image.size.memory_mb,
        vcpus: image.size.vcpus,
        mac: plan.mac,
        disk: &overlay,
        kernel: &image.kernel,
        initrd: &image.initrd,
        cmdline: &image.cmdline,
        console: &console,
        emulator: &settings.emulator,
        machine: &settings.machine,
        bridge: &settings.bridge,
    });
    desk.still_wanted()?;
    let domain = Domain::create_xml(desk.connection, &description, sys::VIR_DOMAIN_NONE)
        .map_err(VmError::hypervisor("boot", vm))?;
    steps.done("machine started");
    let guest = Guest { domain, vm };
    let settled = guest::wait(&guest, settings.boot_within).and_then(|()| {
        steps.done("guest agent answers");
        let todo = script::settle_in_script(
            plan.ipv,
            settings.prefix,
            &settings.guest_device,
            &plan.hosts,
        );
        guest::run(&guest, "set the own address", &todo, settings.guest_within)?;
        steps.done("own address set");
        let todo = script::rehearse_script(SystemTime::now());
        guest::run(
            &guest,
            "rehearse a resumption",
            &todo,
            settings.guest_within,
        )
    });
    if settled.is_err() {
        // What did not come up is of no use; the console tells why.
        let _ = guest.domain.destroy();
    }
    settled.map(|_| steps.done("caches refilled"))
}

/// Saves a VM that was booted and serves as a new golden state, and makes it the current one.
pub(super) fn save(desk: &Desk<'_>, plan: &Plan) -> Result<Meta, VmError> {
    let (settings, vm) = (desk.settings, plan.vm.as_str());
    let domain = must_be(desk, "save", vm, VmState::Running, "running")?;
    let mut steps = Steps::of(vm);
    let image = Image::open(&settings.images, vm)?;
    let draft = Draft::begin(&settings.backup, vm)?;
    let guest = Guest { domain, vm };
    let (todo, within) = (script::residents_script(), settings.guest_within);
    guest::run(&guest, "start what waits for orders", &todo, within)?;
    // Once for practice: no program is as fast the first time.
    let practice = VipOf {
        vip: Ipv4Addr::new(127, 0, 0, 2),
        device: "lo",
        valid: Duration::from_secs(3600),
    };
    guest::set(&guest, &practice, within)?;
    guest::renew(&guest, &practice, within)?;
    let (pipe, end) = (script::ADDRESS_ORDERS, practice.end_order());
    guest::order(&guest, "end the practice", pipe, &end, within)?;
    steps.done("orders practised");
    // Last, so that nobody mounts anything again meanwhile.
    let todo = script::before_saving_script();
    guest::run(&guest, "make ready to be saved", &todo, within)?;
    steps.done("shares unmounted, free memory cleared");
    desk.still_wanted()?;

    let memory = draft.dir.join("memory");
    save_memory(&guest.domain, &memory).map_err(VmError::hypervisor("save", vm))?;
    forget_boot(desk.connection, &memory).map_err(VmError::hypervisor("save", vm))?;
    steps.done("memory saved");
    let overlay = settings.overlay(vm);
    let meta = Meta {
        generation: draft.generation,
        vm: vm.to_owned(),
        created: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        qemu: qemu_version(desk.connection)?,
        ipv: plan.ipv,
        mac: plan.mac,
        memory_mb: image.size.memory_mb,
        vcpus: image.size.vcpus,
        memory: Sum::of(&memory)?,
        disk: Sum::of_copy(&overlay, &draft.dir.join("disk.qcow2"))?,
        image: Version::of(&image.disk)?,
    };
    steps.done("checksums taken");
    let golden = draft.publish(&meta)?;
    steps.done("golden state published");
    remove(&overlay)?;
    Ok(golden.meta)
}

/// Loads the current golden state of a VM, paused or running.
pub(super) fn load(desk: &Desk<'_>, vm: &str, paused: bool) -> Result<Meta, VmError> {
    must_be_absent(desk, "load", vm)?;
    let mut steps = Steps::of(vm);
    let golden = Golden::current(&desk.settings.backup, vm)?;
    let qemu = qemu_version(desk.connection)?;
    if qemu != golden.meta.qemu {
        return Err(unusable(&golden.dir)(format!(
            "saved by QEMU {}, this server has QEMU {qemu}; `ringward backup prepare {vm}` makes \
             a new state",
            golden.meta.qemu
        )));
    }
    let image = Image::open(&desk.settings.images, vm)?.disk;
    if Version::of(&image)? != golden.meta.image {
        return Err(unusable(&golden.dir)(format!(
            "its image {} was replaced after it was saved; `ringward backup prepare {vm}` makes \
             a new state",
            image.display()
        )));
    }
    make_overlay(desk, vm, &golden.disk())?;
    steps.done("golden state found, overlay made");
    desk.still_wanted()?;
    let flags = if paused {
        sys::VIR_DOMAIN_SAVE_PAUSED
    } else {
        sys::VIR_DOMAIN_SAVE_RUNNING
    };
    let memory = golden.memory();
    let path = memory.to_string_lossy();
    let restore = || {
        Domain::domain_restore_flags(desk.connection, &path, None, flags)
            .map_err(VmError::hypervisor("restore", vm))
    };
    if paused {
        // Nobody waits for it: the file server is for others first.
        restore()?;
    } else {
        prefetching(&memory, restore)?;
    }
    steps.done("memory restored");
    Ok(golden.meta)
}

/// Reads all that [`load`] will read of the current golden state.
pub(super) fn read_ahead(desk: &Desk<'_>, vm: &str) -> Result<(), VmError> {
    let mut steps = Steps::of(vm);
    let golden = Golden::current(&desk.settings.backup, vm)?;
    let mut part = vec![0; 1 << 20];
    for path in [golden.disk(), golden.memory()] {
        let mut file = fs::File::open(&path).map_err(VmError::file("read", &path))?;
        while file.read(&mut part).map_err(VmError::file("read", &path))? > 0 {
            desk.still_wanted()?;
        }
    }
    steps.done("golden state read ahead");
    Ok(())
}

/// Makes the VM run, whether it is loaded or not. No error if it runs already.
pub(super) fn activate(desk: &Desk<'_>, vm: &str) -> Result<(), VmError> {
    let Some(domain) = find(desk.connection, vm)? else {
        return load(desk, vm, false).map(drop);
    };
    match state(&domain, vm)? {
        VmState::Running => Ok(()),
        VmState::Standby => {
            let mut steps = Steps::of(vm);
            desk.still_wanted()?;
            domain.resume().map_err(VmError::hypervisor("resume", vm))?;
            steps.done("resumed");
            Ok(())
        }
        VmState::Other => {
            // A machine that ends or has crashed: away with it.
            release(desk, vm)?;
            load(desk, vm, false).map(drop)
        }
    }
}

/// Has the guest, which has just been resumed, take what it needs before it serves. Does not wait for it.
pub(super) fn wake(desk: &Desk<'_>, vm: &str) -> Result<(), VmError> {
    let domain = must_be(desk, "wake", vm, VmState::Running, "running")?;
    let seed = fs::read("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let seed = String::from_utf8_lossy(&seed);
    let todo = script::wake_script(SystemTime::now(), seed.trim());
    let (guest, within) = (Guest { domain, vm }, desk.settings.guest_within);
    guest::order(&guest, "wake", script::WAKE_ORDERS, &todo, within)
}

/// Gives the guest the virtual address.
pub(super) fn set_vip(desk: &Desk<'_>, vm: &str, address: &VipOf<'_>) -> Result<(), VmError> {
    let doing = "set the virtual address of";
    let domain = must_be(desk, doing, vm, VmState::Running, "running")?;
    let mut steps = Steps::of(vm);
    let guest = Guest { domain, vm };
    desk.still_wanted()?;
    guest::set(&guest, address, desk.settings.guest_within)?;
    steps.done("virtual address set");
    Ok(())
}

pub(super) fn renew_vip(desk: &Desk<'_>, vm: &str, address: &VipOf<'_>) -> Result<(), VmError> {
    let doing = "renew the virtual address of";
    let domain = must_be(desk, doing, vm, VmState::Running, "running")?;
    guest::renew(&Guest { domain, vm }, address, desk.settings.guest_within)
}

/// Destroys the VM with all that it wrote. No error if there is none.
pub(super) fn release(desk: &Desk<'_>, vm: &str) -> Result<(), VmError> {
    if let Some(domain) = find(desk.connection, vm)? {
        if let Err(error) = domain.destroy() {
            // It may have ended by itself in between.
            if domain.is_active().unwrap_or(false) {
                return Err(VmError::hypervisor("destroy", vm)(error));
            }
        }
    }
    remove(&desk.settings.overlay(vm))
}

fn must_be_absent(desk: &Desk<'_>, doing: &'static str, vm: &str) -> Result<(), VmError> {
    match find(desk.connection, vm)? {
        None => Ok(()),
        Some(domain) => Err(VmError::State {
            doing,
            vm: vm.to_owned(),
            found: state(&domain, vm)?.to_string(),
            expected: "absent (release it first)",
        }),
    }
}

fn must_be(
    desk: &Desk<'_>,
    doing: &'static str,
    vm: &str,
    wanted: VmState,
    expected: &'static str,
) -> Result<Domain, VmError> {
    let wrong = |found: String| VmError::State {
        doing,
        vm: vm.to_owned(),
        found,
        expected,
    };
    let domain = find(desk.connection, vm)?.ok_or_else(|| wrong("absent".into()))?;
    let found = state(&domain, vm)?;
    if found == wanted {
        Ok(domain)
    } else {
        Err(wrong(found.to_string()))
    }
}

fn make_overlay(desk: &Desk<'_>, vm: &str, backing: &Path) -> Result<(), VmError> {
    let work = &desk.settings.work;
    fs::create_dir_all(work).map_err(VmError::file("create", work))?;
    let overlay = desk.settings.overlay(vm);
    qcow2::create_overlay(&overlay, backing).map_err(VmError::file(
        "create an overlay of the VM's disk",
        &overlay,
    ))
}

pub(super) fn remove(path: &Path) -> Result<(), VmError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(VmError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The version of QEMU, e.g. `10.0.2`.
fn qemu_version(connection: &Connect) -> Result<String, VmError> {
    let version = connection
        .get_hyp_version()
        .map_err(VmError::hypervisor("ask the version of", "the hypervisor"))?;
    Ok(format!(
        "{}.{}.{}",
        version / 1_000_000,
        version / 1000 % 1000,
        version % 1000
    ))
}

#[expect(unsafe_code, reason = "the crate has no call for virDomainSave")]
fn save_memory(domain: &Domain, to: &Path) -> Result<(), Error> {
    // A path from our own settings; one with a zero byte cannot be opened in any case.
    let path = CString::new(to.as_os_str().as_bytes()).unwrap_or_default();
    // SAFETY: both pointers are valid for the whole call, `domain` being borrowed and `path` owned
    // here; libvirt keeps neither.
    let saved = unsafe { sys::virDomainSave(domain.as_ptr(), path.as_ptr()) };
    if saved < 0 {
        Err(Error::last_error())
    } else {
        Ok(())
    }
}

/// A state has in its memory what the machine was booted from. If it named it too, QEMU would read it from
/// the share at each load, and hold it: a tenth of what is read and held in all.
fn forget_boot(connection: &Connect, memory: &Path) -> Result<(), Error> {
    let file = memory.to_string_lossy();
    let machine = Domain::save_image_get_xml_desc(connection, &file, 0)?;
    Domain::save_image_define_xml(connection, &file, &xml::without_boot(&machine), 0).map(drop)
}
