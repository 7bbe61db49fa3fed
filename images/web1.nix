# Web server 1: static documents from file server 2.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "server";
  packages = [ "apache2" ];
  files = [ ./web ];
  custom = [ ./lib/units.sh ./web.sh ];
  agent = true;
}
