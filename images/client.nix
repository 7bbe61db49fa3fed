# The client machine of the experiments: the agent's binary for its probes, with the library that it is linked to, never its
# service; ftp, curl, ssh by hand.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "machine";
  packages = [ "curl" "libvirt0" "openssh-client" ];
  custom = [ ./lib/units.sh ./client.sh ];
  agent = true;
}
