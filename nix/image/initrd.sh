# Kernel and initrd from /build/root: busybox, the modules that can reach a disk, and init.sh. No udev:
# under emulation every process started before the root is mounted is paid for on each boot.

say "initrd"
version=$(ls $R/usr/lib/modules)
modules=$R/usr/lib/modules/$version
tree=/build/initrd
mkdir -p $tree/{bin,dev,proc,sys,root} "$tree/lib/modules/$version"
cp "$busybox" $tree/bin/busybox
install -m 755 "$initSh" $tree/init

# Buses, disks and file systems that hold the root: virtual and real machines alike.
wanted=(virtio_pci virtio_blk virtio_scsi sd_mod nvme ahci ata_piix usb-storage uas xhci-pci ehci-pci mmc_block sdhci-pci sdhci-acpi ext4 erofs)
for m in "${wanted[@]}"; do
  modprobe -d $R/usr -S "$version" --show-depends "$m" 2>/dev/null || true
done | mawk '$1 == "insmod" { print $2 }' | sort -u > modules.list
while read -r ko; do
  to=$tree/lib/modules/$version/$(basename "${ko%.xz}")
  case $ko in *.xz) xz -dc "$ko" > "$to" ;; *) cp "$ko" "$to" ;; esac
done < modules.list
cp "$modules"/modules.{order,builtin,builtin.modinfo} "$tree/lib/modules/$version/"
depmod -b $tree "$version"
rm -f "$tree/lib/modules/$version"/modules.{order,builtin,builtin.modinfo,softdep,symbols,devname,weakdep} "$tree/lib/modules/$version"/*.bin

find $tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
( cd $tree; find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible -R 0:0 ) | zstd -q -19 -T1 > o/initrd
cp "$(echo $R/boot/vmlinuz-*)" o/vmlinuz
