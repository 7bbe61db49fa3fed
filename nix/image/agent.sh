# Writes the agent's partition into a finished disk. Runs in the builder root; see image.nix for its environment.
set -euo pipefail
mkdir -p o tree
cp "$disk"/{vmlinuz,initrd,cmdline} o/
cp "$disk/disk.qcow2" o/disk.qcow2
chmod 644 o/disk.qcow2
install -m 755 "$agent" tree/ringward
mkfs.erofs --quiet --all-root -T "$SOURCE_DATE_EPOCH" -U "$AGENT_PARTUUID" agent.erofs tree
read -r offset size < "$disk/agent-at"
truncate -s "$size" agent.erofs
qemu-img convert -n -f raw -S 4k agent.erofs --target-image-opts \
  "driver=raw,offset=$offset,size=$size,file.driver=qcow2,file.file.driver=file,file.file.filename=o/disk.qcow2"
