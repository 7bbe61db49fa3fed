#!/usr/bin/env bash
# nix/tools/seed.sh : puts what the locks and Cargo.lock name into the Nix store, under their hashes.
# .debs come from this machine's own Debian mirror, crates through cargo. What the store has is skipped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. nix/setup.sh
need_nix
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror() { apt-get indextargets --format '$(REPO_URI)' | grep "/$1/\$" | sort -u | head -1 | grep . ; }

# Of "PATH REST..." lines, those whose PATH the store lacks.
lacking() {
  sort -u -k1,1 > "$work/all"
  cut -d' ' -f1 "$work/all" | xargs -r nix-store --check-validity --print-invalid | sort > "$work/invalid"
  join "$work/invalid" "$work/all"
}

seed_debs() {
  local debian security url path sha repo where what lock failed=0
  nix eval --raw --file nix/seeds.nix debs | lacking > "$work/debs"
  [ -s "$work/debs" ] || return 0
  if ! command -v apt-get > /dev/null; then
    echo "seed: no apt on this machine; Nix will fetch $(wc -l < "$work/debs") .debs from the snapshot archive as it builds"
    return
  fi
  debian=$(mirror debian) || fail "apt on this machine has no Debian mirror (apt-get indextargets shows none ending in /debian/)"
  security=$(mirror debian-security) || security=${debian%/debian/}/debian-security/
  echo "seed: $(wc -l < "$work/debs") .debs from this machine's Debian mirror"
  mkdir "$work/in"
  while read -r path sha repo where _; do
    [ "$repo" = debian ] && url=$debian || url=$security
    # Store paths are /nix/store/<32 characters>-NAME.
    printf '%s\n' "$url$where" "$work/in/${path:44}" "SHA256:$sha"
  done < "$work/debs" > "$work/triples"
  xargs -r -d '\n' -n 300 /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root -o Acquire::Retries=2 download-file \
    < "$work/triples" > "$work/log" 2>&1 || true
  find "$work/in" -name '*.deb' -print0 | xargs -0 -r nix-store --add-fixed sha256 > /dev/null
  lacking < "$work/debs" > "$work/gone"
  [ -s "$work/gone" ] || return 0
  # The snapshot archive keeps every version, but is not reachable from everywhere.
  cut -d' ' -f7 "$work/gone" | xargs nix-store --realise --keep-going --option connect-timeout 5 --option download-attempts 1 \
    > /dev/null 2>&1 || true
  lacking < "$work/debs" > "$work/gone"
  while read -r _ _ _ _ what lock _; do
    echo "error: $what, locked in nix/locks/$lock.json, is neither on this machine's Debian mirror nor to be had from the" \
      "snapshot archive. If a newer version replaced it, renew the lock: nix/tools/lock.sh $lock (or --all)" >&2
    failed=$((failed + 1))
  done < "$work/gone"
  [ $failed = 0 ] || {
    grep -E '^(Err|E:|W:)' "$work/log" | tail -5 >&2
    fail "$failed of $(wc -l < "$work/debs") .debs could not be had; the others are in the store"
  }
}

# Cargo knows its registry, and reads the user's own configuration. A host's cargo may be missing or too
# old for Cargo.lock: the one of the rust root runs anywhere by its own loader.
seed_crates() {
  local root lib path file found
  nix eval --raw --file nix/seeds.nix crates | lacking > "$work/crates"
  [ -s "$work/crates" ] || return 0
  echo "seed: $(wc -l < "$work/crates") crates through cargo"
  root=$(nix build --no-link --json --file nix/seeds.nix rustRoot | sed 's/.*"out":"\([^"]*\)".*/\1/')
  lib=$root/usr/lib/x86_64-linux-gnu
  for tool in cargo rustc; do
    printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$root/usr/lib64/ld-linux-x86-64.so.2" "$lib" "$root/usr/bin/$tool" \
      > "$work/$tool"
    chmod +x "$work/$tool"
  done
  RUSTC=$work/rustc CARGO_HTTP_CAINFO=${CARGO_HTTP_CAINFO:-/etc/ssl/certs/ca-certificates.crt} "$work/cargo" fetch --locked --quiet ||
    fail "cargo could not download the crates of Cargo.lock (its own message is above)"
  while read -r path file; do
    found=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$file" | head -1)
    [ -n "$found" ] || fail "cargo fetched everything, yet $file is not in ${CARGO_HOME:-$HOME/.cargo}/registry/cache"
    echo "$found"
  done < "$work/crates" | xargs -r nix-store --add-fixed sha256 > /dev/null
  lacking < "$work/crates" > "$work/gone"
  [ ! -s "$work/gone" ] || fail "crates whose contents differ from Cargo.lock: $(cut -d' ' -f2 "$work/gone" | xargs)"
}

seed_debs
seed_crates
