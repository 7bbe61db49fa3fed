# FTP server: anonymous, read-only, of the tree on file server 2.
{
  kind = "machine";
  cmdline = import ./lib/cmdline.nix;
  parent = "server";
  packages = [ "vsftpd" ];
  files = [ ./ftp ];
  custom = [ ./lib/units.sh ./ftp.sh ];
  agent = true;
}
