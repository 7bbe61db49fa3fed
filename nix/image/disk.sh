# From the root, vmlinuz and initrd to a GPT disk: ESP with systemd-boot, root, and room for the agent.

ESP_MB=64
AGENT_MB=32
[ -n "$agent" ] || AGENT_MB=0
ROOT_AT=$((1 + ESP_MB))
AGENT_AT=$((ROOT_AT + rootMB))

say "boot partition"
parameters="root=PARTLABEL=ringward-root rw console=ttyS0${agent:+ ringward.agent=PARTLABEL=ringward-agent}${cmdline:+ $cmdline}"
mkdir -p esp/EFI/BOOT esp/loader/entries
cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi esp/EFI/BOOT/BOOTX64.EFI
cp o/vmlinuz o/initrd esp/
printf 'timeout 0\ndefault ringward.conf\n' > esp/loader/loader.conf
printf 'title ringward\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$parameters" > esp/loader/entries/ringward.conf
find esp -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

say "disk"
MB=1048576
truncate -s $((AGENT_AT + AGENT_MB + 1))M disk.raw
{
  printf 'label: gpt\nlabel-id: %s\n' "$DISK_UUID"
  printf 'start=1MiB, size=%dMiB, type=U, uuid=%s, name=esp\n' $ESP_MB "$ESP_UUID"
  printf 'start=%dMiB, size=%dMiB, type=L, uuid=%s, name=ringward-root\n' $ROOT_AT "$rootMB" "$ROOT_PARTUUID"
  [ -z "$agent" ] || printf 'start=%dMiB, size=%dMiB, type=L, uuid=%s, name=ringward-agent\n' $AGENT_AT $AGENT_MB "$AGENT_PARTUUID"
} | sfdisk -q disk.raw
# 512-byte clusters: FAT32 wants 65525 of them.
quietly mkfs.vfat --invariant -i 2f5a6c71 -F 32 -s 1 -n ESP --offset 2048 disk.raw $((ESP_MB * 1024))
( cd esp; for f in EFI loader vmlinuz initrd; do mcopy -s -m -i ../disk.raw@@$MB $f ::/; done )

say "root file system"
root_tar | mke2fs -q -t ext4 -U "$ROOT_UUID" -L root -m 1 -J size=8 -O ^metadata_csum_seed -d - \
  -E "offset=$((ROOT_AT * MB)),hash_seed=$ROOT_UUID,root_owner=0:0,lazy_itable_init=0" disk.raw "${rootMB}M"

say "compress"
qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd disk.raw o/disk.qcow2
rm disk.raw
printf '%s\n' "$parameters" > o/cmdline
[ -z "$agent" ] || echo $((AGENT_AT * MB)) $((AGENT_MB * MB)) > o/agent-at
