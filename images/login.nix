# Login server: ssh with keys; homes on file server 2.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "server";
  packages = [ "openssh-server" ];
  files = [ ./login ];
  custom = [ ./lib/units.sh ./login.sh ];
  agent = true;
}
