# What both file servers have: NFSv4 alone, so neither portmapper nor statd nor id mapper.
{
  kind = "layer";
  parent = "machine";
  packages = [ "nfs-kernel-server" ];
  files = [ ./fileserver ];
  custom = [ ./lib/units.sh ./fileserver.sh ];
}
