# Runs cargo commands that must succeed. Runs in the rust root; see rust.nix for its environment.
. "$cargoSh"
. /build/commands
mkdir /build/o
