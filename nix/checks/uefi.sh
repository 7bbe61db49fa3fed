# Boots $image by UEFI, disk only, until systemd has reached its default target. Runs in the lab root.
set -euo pipefail
limit=300
mkdir -p o
cp /usr/share/OVMF/OVMF_VARS_4M.fd vars
chmod 644 vars
# The boot loader adds what SMBIOS brings to the kernel's parameters: the image itself stays as it is.
qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu qemu64,+svm,+npt -m 1024 -nodefaults -display none -no-reboot \
  -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,file=vars \
  -drive "file=$image/disk.qcow2,if=virtio,format=qcow2,snapshot=on" -device virtio-rng-pci \
  -smbios type=11,value=io.systemd.boot.kernel-cmdline-extra="systemd.show_status=1 loglevel=4" \
  -chardev file,id=serial,path=o/serial -serial chardev:serial &
qemu=$!
until grep -aq 'Reached target.*multi-user.target' o/serial 2> /dev/null; do
  if ! kill -0 $qemu 2> /dev/null || [ $SECONDS -gt $limit ]; then
    echo "the image did not reach multi-user.target by UEFI within $limit s; the end of its serial console:"
    tail -n 40 o/serial
    kill $qemu 2> /dev/null || true
    exit 1
  fi
  sleep 1
done
kill $qemu
echo "multi-user.target by UEFI after $SECONDS s"
