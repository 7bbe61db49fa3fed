# Backup VM of the proxy.
import ./proxy.nix // { kind = "vm"; parent = "vm"; agent = false; }
