# Backup VM of the mail server.
import ./mail.nix // { kind = "vm"; parent = "vm"; agent = false; }
