# Compiles the program of one package. Runs in the rust root; see rust.nix for its environment.
. "$cargoSh"
. "$stubsSh"
# shellcheck disable=SC2086
cargo rustc --release --package "$package" --bin "$package" -- $linkArgs
mkdir -p /build/o/bin
cp "target/release/$package" /build/o/bin/
"/build/o/bin/$package" --version || true
