# The client machine of the experiments: the agent's binary for its probes, never its service; ftp, curl, ssh by hand.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "machine";
  packages = [ "curl" "openssh-client" ];
  custom = [ ./lib/units.sh ./client.sh ];
  agent = true;
}
