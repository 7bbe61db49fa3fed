# File server 2: users' data (FTP tree, web documents, mail spool, homes) on the volume labelled DATA.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "fileserver";
  files = [ ./file2 ];
  custom = [ ./lib/units.sh ./file2.sh ];
}
