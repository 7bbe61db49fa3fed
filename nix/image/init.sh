#!/bin/busybox sh
# The initrd: load the drivers of what is there, mount the root, hand over.
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

wanted='' agent=''
for word in $(cat /proc/cmdline); do
  case $word in
    root=PARTLABEL=*) wanted=${word#root=PARTLABEL=} ;;
    ringward.agent=PARTLABEL=*) agent=${word#ringward.agent=PARTLABEL=} ;;
  esac
done

# Drivers by the aliases that the buses report. A new bus shows new devices, hence in a loop.
load() { modprobe -aq $(find /sys/devices -name modalias -exec cat {} + | sort -u) 2>/dev/null; }

# Device of the partition named $1, from sysfs, which knows no partition UUIDs (no udev here).
partition() {
  local name
  name=$(grep -ls "^PARTNAME=$1\$" /sys/class/block/*/uevent) || return 1
  name=${name%/uevent}
  echo "/dev/${name##*/}"
}

# No shell: whoever sits at the console of an appliance gets none without a password.
give_up() { echo "ringward: $*; rebooting in 10 s"; sleep 10; reboot -f; }

modprobe -aq ext4 sd_mod virtio_pci virtio_blk nvme
tries=0
until device=$(partition "$wanted"); do
  # Drivers for all else that is there only when the usual two do not show the disk.
  load
  tries=$((tries + 1))
  [ $tries -gt 1 ] && sleep 0.1
  [ $tries -lt 300 ] || give_up "no partition named '$wanted' after 30 s; block devices: $(echo /sys/class/block/*)"
done
mount -o rw "$device" /root || give_up "cannot mount $device"
if [ -n "$agent" ] && device=$(partition "$agent"); then
  modprobe -q erofs
  mount -t erofs -o ro "$device" /root/usr/lib/ringward
fi
mount --move /dev /root/dev
umount /proc /sys
exec switch_root /root /sbin/init
