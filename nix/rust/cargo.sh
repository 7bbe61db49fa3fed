# Sourced: cargo without network, its crates in $vendor, and paths of the build kept out of the binaries.
set -euo pipefail
export CARGO_HOME=/build/cargo CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never CC=gcc INSTA_UPDATE=no CI=1
export RUSTFLAGS="--remap-path-prefix=/build/src=/ringward --remap-path-prefix=$vendor=/crates"
mkdir -p $CARGO_HOME
cat > $CARGO_HOME/config.toml <<C
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "$vendor"
[target.x86_64-unknown-linux-gnu]
linker = "gcc"
C
# New times on our sources: the store's (1970) would look older than anything compiled.
cp -r --no-preserve=mode,timestamps "$src" /build/src
cd /build/src
[ -z "${dependencies:-}" ] || tar -xf "$dependencies/target.tar"
