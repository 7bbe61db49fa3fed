//! The shell scripts that a guest runs. Pure.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the guest's own `ip` waits for orders about the virtual address.
pub(super) const ADDRESS_ORDERS: &str = "/run/ringward/address";
/// Where a shell of the guest waits for what is to be done on waking.
pub(super) const WAKE_ORDERS: &str = "/run/ringward/wake";
/// Lines of /proc/mounts: what is to be mounted on waking.
const MOUNTS: &str = "/run/ringward/mounts";

/// A virtual address in a guest.
pub(super) struct VipOf<'a> {
    pub(super) vip: Ipv4Addr,
    pub(super) device: &'a str,
    pub(super) valid: Duration,
}

/// What a guest does when it has been resumed, before it has the virtual address: takes random numbers and
/// the time, both of which all resumed copies of a state share, and mounts the users' data, so that the
/// first client need not wait for that. What was mounted before the state was saved is mounted by one call
/// each; systemd, on first use, takes three times as long for the same. What was not, is left to it.
pub(super) fn wake_script(now: SystemTime, seed: &str) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (now.as_secs(), now.subsec_millis());
    format!(
        "printf %s {seed} >/dev/urandom; \
         [ ! -e {MOUNTS} ] || while read -r what where type options rest; do \
         mount -i -t $type -o $options $what $where & done <{MOUNTS}; \
         date -u -s @{seconds}.{millis:03}; wait; \
         while read -r what where type rest; do \
         [ $type != autofs ] || [ -e $where/. ]; done </proc/mounts"
    )
}

/// Starts the two that wait for orders. They are in the golden state, since a guest that has just been
/// resumed on a busy host takes seconds to start a program. Each holds both ends of its pipe, so that no
/// order is the last.
pub(super) fn residents_script() -> String {
    format!(
        "mkdir -p /run/ringward; rm -f {ADDRESS_ORDERS} {WAKE_ORDERS}; \
         mkfifo {ADDRESS_ORDERS} {WAKE_ORDERS} || exit; \
         ip -force -batch - <>{ADDRESS_ORDERS} >/dev/null 2>&1 & \
         while read -r todo; do eval \"$todo\"; done <>{WAKE_ORDERS} >/dev/null 2>&1 &"
    )
}

impl VipOf<'_> {
    /// An order that sets the address.
    pub(super) fn set_order(&self) -> String {
        self.order("replace")
    }

    /// One that prolongs it. The kernel adds an address that is not there, so look first.
    pub(super) fn renew_order(&self) -> String {
        self.order("change")
    }

    /// One that takes it off.
    pub(super) fn end_order(&self) -> String {
        format!("address del {}/32 dev {}", self.vip, self.device)
    }

    fn order(&self, verb: &str) -> String {
        let Self { vip, device, valid } = self;
        let seconds = (valid.as_secs() + u64::from(valid.subsec_nanos() > 0)).max(1);
        format!("address {verb} {vip}/32 dev {device} valid_lft {seconds} preferred_lft {seconds}")
    }
}

/// Gives a guest that has just booted its own address and the names of the cluster. The agent may
/// answer before the kernel has found the network device.
pub(super) fn settle_in_script(ipv: Ipv4Addr, prefix: u8, device: &str, hosts: &str) -> String {
    let hosts = hosts.replace('\'', "");
    format!(
        "tries=0; until [ -e /sys/class/net/{device} ] || [ $tries = 150 ]; do \
         tries=$((tries + 1)); sleep 0.2; done; \
         ip link set {device} up && ip address replace {ipv}/{prefix} dev {device} && \
         rm -f /etc/hosts && printf %s '{hosts}' >/etc/hosts"
    )
}

/// Clears the free memory, since zeroes are not saved. The kernel needs some of it to work with.
const CLEAR: &str =
    "while read -r key kb rest; do [ $key != MemFree: ] || break; done </proc/meminfo
if [ $kb -gt 16384 ]; then
  mount -t tmpfs -o size=100% zero /mnt || exit
  head -c $((kb - kb / 32 - 8192))K /dev/zero >/mnt/zero
  umount /mnt || exit
fi
";

/// Makes for a small state that does not wait for its disk when it is resumed: empties the caches,
/// clears the free memory, and fills the caches again with what a resumption needs. The services' part of
/// that comes with the examination before the state is saved.
pub(super) fn rehearse_script(now: SystemTime) -> String {
    let wake = wake_script(now, "rehearsal");
    // Not awaited: a mount may take as long as a file server does.
    format!("sync; echo 3 >/proc/sys/vm/drop_caches\n{CLEAR}{{ {wake}; }} >/dev/null 2>&1 &")
}

/// Notes what is mounted, and removes what must not be in a golden state: file systems of file server 2,
/// whose sessions would be stale, and the hardware addresses of neighbours. A process that keeps such a file
/// system in use (a worker of a mail server that holds a file open) is ended; its service starts another.
/// That one must be done with its start before there is anything again that it could open, for it would
/// mount the file system once more. Then it clears what has become free since the rehearsal.
pub(super) fn before_saving_script() -> String {
    let note = format!("grep ' nfs4 ' /proc/mounts >{MOUNTS}\n");
    [&note, NO_NEWS, LET_GO, CLEAR, LAST_LOOK].concat()
}

/// Devices neither come nor go any more, but every mount would be news of one.
const NO_NEWS: &str = "systemctl stop systemd-udevd-control.socket systemd-udevd-kernel.socket \
                       systemd-udevd.service\n";

const LET_GO: &str = r#"volumes=/proc/fs/nfsfs/volumes
devices() {
  [ ! -e $volumes ] || while read -r version server port device rest; do
    case $version in v*) echo "$device" ;; esac
  done <$volumes
}
users() {
  stat -L -c '%Hd:%Ld %n' /proc/[0-9]*/cwd /proc/[0-9]*/fd/* 2>/dev/null | while read -r device name; do
    case " $1 " in *" $device "*) name=${name#/proc/} && echo "${name%%/*}" ;; esac
  done | sort -u
}
awaits_events() {
  for process in $(pgrep -x "$1"); do
    at=
    read -r at <"/proc/$process/wchan"
    case $at in *poll* | *select* | *accept*) return 0 ;; esac
  done
  return 1
}
automounts=$(systemctl list-units --type automount --state active --plain --no-legend | while read -r unit rest; do echo "$unit"; done)
[ -z "$automounts" ] || systemctl stop $automounts
umount -a -l -t nfs,nfs4
ended=
tries=0
while held=$(devices) && [ -n "$held" ]; do
  if [ $tries = 40 ]; then
    echo "still in use: $(cat $volumes)"
    exit 1
  fi
  tries=$((tries + 1))
  # Sessions of the rehearsal end by themselves, and nobody starts those again.
  [ $tries -le 10 ] || for user in $(users "$(echo $held)"); do
    read -r name <"/proc/$user/comm" && kill "$user" && ended="$ended $name"
  done
  sleep 0.3
done
tries=0
for name in $ended; do
  until awaits_events "$name"; do
    if [ $tries = 100 ]; then
      echo "$name was ended, since it held a file open, and has not been started again"
      exit 1
    fi
    tries=$((tries + 1))
    sleep 0.2
  done
done
[ -z "$automounts" ] || systemctl start $automounts
ip neigh flush all
sync
"#;

const LAST_LOOK: &str = r#"held=$(devices)
if [ -n "$held" ]; then
  echo "mounted again: $(cat $volumes)"
  exit 1
fi
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn vip() -> VipOf<'static> {
        let vip = Ipv4Addr::new(172, 21, 14, 203);
        VipOf {
            vip,
            device: "eth0",
            valid: Duration::from_millis(13_500),
        }
    }

    #[test]
    fn scripts() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_042);
        insta::assert_snapshot!("wake", wake_script(now, "f00d"));
        insta::assert_snapshot!("residents", residents_script());
        insta::assert_snapshot!(vip().set_order(), @"address replace 172.21.14.203/32 dev eth0 valid_lft 14 preferred_lft 14");
        insta::assert_snapshot!(vip().renew_order(), @"address change 172.21.14.203/32 dev eth0 valid_lft 14 preferred_lft 14");
        let ipv = Ipv4Addr::new(172, 21, 14, 103);
        insta::assert_snapshot!(
            "settle_in",
            settle_in_script(ipv, 24, "eth0", "1.2.3.4 file2")
        );
        insta::assert_snapshot!("rehearse", rehearse_script(now));
    }

    #[test]
    fn scripts_are_shell() {
        let now = SystemTime::now();
        let settle_in = settle_in_script(Ipv4Addr::LOCALHOST, 24, "eth0", "it's\n");
        let scripts = [
            wake_script(now, "f00d"),
            residents_script(),
            settle_in,
            rehearse_script(now),
            before_saving_script(),
        ];
        for script in scripts {
            let checked = std::process::Command::new("sh")
                .args(["-n", "-c", &script])
                .status();
            assert!(checked.unwrap().success(), "{script}");
        }
    }
}
