# Backup VM of web server 1.
import ./web1.nix // { kind = "vm"; parent = "vm"; agent = false; }
