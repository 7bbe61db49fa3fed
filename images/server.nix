# A member of the ring: the agent, and libvirt with QEMU for the backup VMs of its peers.
{
  kind = "layer";
  parent = "machine";
  packages = [ "libvirt-clients" "libvirt-daemon" "libvirt-daemon-driver-qemu" "qemu-system-x86" "qemu-utils" ];
  files = [ ./server ];
  custom = [ ./lib/units.sh ./server.sh ];
}
