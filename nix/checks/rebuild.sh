# Compares two builds of one image bit by bit, and shows which files differ. Runs in the builder root.
set -euo pipefail
mkdir o
same=yes
for f in vmlinuz initrd cmdline disk.qcow2; do
  cmp "$first/$f" "$second/$f" || same=no
done
[ $same = no ] || { echo "the same to the bit"; exit 0; }

for side in first second; do
  qemu-img convert -O raw "${!side}/disk.qcow2" $side.raw
  start=$(sfdisk --dump $side.raw | sed -n 's/.*start= *\([0-9]*\),.*name="ringward-root".*/\1/p')
  size=$(sfdisk --dump $side.raw | sed -n 's/.*size= *\([0-9]*\),.*name="ringward-root".*/\1/p')
  dd if=$side.raw of=$side.ext4 bs=512 skip="$start" count="$size" status=none
  mkdir $side
  debugfs -R "rdump / $side" $side.ext4 2> /dev/null
done
echo "two builds of one image differ, in these files (none: in the file system around them):"
diff -rq --no-dereference first second | head -40
exit 1
