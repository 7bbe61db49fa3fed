# Backup VM of web server 2.
import ./web2.nix // { kind = "vm"; parent = "vm"; agent = false; }
