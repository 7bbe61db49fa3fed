# Backup VM of the FTP server.
import ./ftp.nix // { kind = "vm"; parent = "vm"; agent = false; }
