# /build/root.tar, vmlinuz and initrd to a GPT disk: ESP with systemd-boot, root, and room for the agent.

ESP_MB=64
AGENT_MB=32
ROOT_AT=$((1 + ESP_MB))
AGENT_AT=$((ROOT_AT + rootMB))

say "root file system"
truncate -s "${rootMB}M" root.ext4
mke2fs -q -t ext4 -U "$ROOT_UUID" -E "hash_seed=$ROOT_UUID,root_owner=0:0,lazy_itable_init=0" -L root -m 1 -J size=8 \
  -O ^metadata_csum_seed -d root.tar root.ext4
rm root.tar

say "boot partition"
parameters="root=PARTLABEL=ringward-root rw console=ttyS0${agent:+ ringward.agent=PARTLABEL=ringward-agent}${cmdline:+ $cmdline}"
mkdir -p esp/EFI/BOOT esp/loader/entries
cp /usr/lib/systemd/boot/efi/systemd-bootx64.efi esp/EFI/BOOT/BOOTX64.EFI
cp o/vmlinuz o/initrd esp/
printf 'timeout 0\ndefault ringward.conf\n' > esp/loader/loader.conf
printf 'title ringward\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$parameters" > esp/loader/entries/ringward.conf
find esp -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
truncate -s ${ESP_MB}M esp.vfat
mkfs.vfat --invariant -i 2f5a6c71 -F 32 -n ESP esp.vfat > log
( cd esp; for f in EFI loader vmlinuz initrd; do mcopy -s -m -i ../esp.vfat $f ::/; done )

say "disk"
truncate -s $((AGENT_AT + ${agent:+AGENT_MB+} 1))M disk.raw
{
  printf 'label: gpt\nlabel-id: %s\n' "$DISK_UUID"
  printf 'start=1MiB, size=%dMiB, type=U, uuid=%s, name=esp\n' $ESP_MB "$ESP_UUID"
  printf 'start=%dMiB, size=%dMiB, type=L, uuid=%s, name=ringward-root\n' $ROOT_AT "$rootMB" "$ROOT_PARTUUID"
  [ -z "$agent" ] || printf 'start=%dMiB, size=%dMiB, type=L, uuid=%s, name=ringward-agent\n' $AGENT_AT $AGENT_MB "$AGENT_PARTUUID"
} | sfdisk -q disk.raw
dd if=esp.vfat of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
dd if=root.ext4 of=disk.raw bs=1M seek=$ROOT_AT conv=notrunc,sparse status=none
rm esp.vfat root.ext4

say "compress"
qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd disk.raw o/disk.qcow2
rm disk.raw
printf '%s\n' "$parameters" > o/cmdline
[ -z "$agent" ] || echo $((AGENT_AT * 1048576)) $((AGENT_MB * 1048576)) > o/agent-at
