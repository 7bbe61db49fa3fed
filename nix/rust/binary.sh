# Compiles the program of one package. Runs in the rust root; see rust.nix for its environment.
. "$cargoSh"
. "$stubsSh"
# shellcheck disable=SC2086
cargo rustc --profile "$profile" --package "$package" --bin "$package" -- $linkArgs
mkdir -p /build/o/bin
cp "target/$profile/$package" /build/o/bin/
"/build/o/bin/$package" --version || true
