# Forward proxy for the LAN, without a cache.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "server";
  packages = [ "squid" ];
  files = [ ./proxy ];
  custom = [ ./lib/units.sh ./proxy.sh ];
  agent = true;
}
