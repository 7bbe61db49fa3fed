# Backup VM of the login server. Its host key is made when its golden state is.
import ./login.nix // { kind = "vm"; parent = "vm"; agent = false; }
