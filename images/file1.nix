# File server 1: the share (management data, golden states, claims) on the volume labelled SHARE.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "fileserver";
  files = [ ./file1 ];
  custom = [ ./lib/units.sh ./file1.sh ];
}
