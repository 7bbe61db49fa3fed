# Web server 2: as web server 1.
import ./web1.nix
