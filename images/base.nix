# What every machine and every backup VM stands on: kernel, systemd, guest agent, NFS client.
# The kernel is Debian's cloud flavour: virtio, NVMe, SATA, VMware, Hyper-V, Xen and the network
# cards of clouds (ENA, gve, mlx5). For other real cards (e1000e, igb, r8169) or USB disks put linux-image-amd64 here.
{
  kind = "layer";
  parent = null;
  packages = [
    "iproute2" "iputils-arping" "kmod" "linux-image-cloud-amd64" "login" "netbase" "nfs-common" "passwd" "procps"
    "qemu-guest-agent" "systemd" "systemd-sysv" "tiny-initramfs" "udev"
  ];
  files = [ ./base ];
  custom = [ ./lib/units.sh ./base.sh ];
}
