#!/usr/bin/env bash
# nix/tools/lock.sh NAME... | --all : writes nix/locks/NAME.json with apt's own solver.
#
# Names are those of nix/packages.nix: the tool roots, and every role in images/ that adds packages. A lock
# holds the whole closure, its parent's packages at its parent's versions included. The .debs are those
# that this machine's own Debian mirror has now; the machine's own releases do not matter.
set -euo pipefail
cd "$(dirname "$0")/../.."
die() { echo "lock.sh: $*" >&2; exit 1; }
[ $# -gt 0 ] || die "which lock? A name from nix/packages.nix (a tool root or a role of images/), or --all"
. nix/setup.sh
need_nix

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror() { apt-get indextargets --format '$(REPO_URI)' | grep "/$1/\$" | sort -u | head -1 | grep . ; }
debian=$(mirror debian) || die "apt on this machine has no Debian mirror (apt-get indextargets shows none ending in /debian/)"
security=$(mirror debian-security) || security=""

mkdir -p "$work"/{etc/apt/{apt.conf,preferences,sources.list}.d,var/lib/{apt/lists/partial,dpkg},var/cache/apt/archives/partial,log}
: > "$work/var/lib/dpkg/status"
source_of() {
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: %s\n\n' \
    "$1" "$2" /usr/share/keyrings/debian-archive-keyring.gpg
}
{
  source_of "$debian" "trixie trixie-updates"
  [ -z "$security" ] || source_of "$security" trixie-security
} > "$work/etc/apt/sources.list.d/debian.sources"
cat > "$work/apt.conf" <<C
Dir "$work"; Dir::State::status "$work/var/lib/dpkg/status"; Dir::Etc "$work/etc/apt"; Dir::Log "$work/log";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Install-Recommends "false"; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::ForceHash "SHA256";
C
# The machine's proxy and credentials stay in force.
apt-config dump | grep -E '^Acquire::(http|https)::' >> "$work/apt.conf" || true
export APT_CONFIG=$work/apt.conf
apt-get update -qq
date=$(date -u +%Y%m%dT%H%M%SZ)

# Evaluates expression $2 with e = what nix/packages.nix says of lock $1.
field() {
  nix eval --raw --file nix/packages.nix --apply "p: let e = p.$1 or (throw \"no lock is named $1: see nix/packages.nix\"); in $2"
}
# NAME=VERSION of all that a written lock holds
pins() { sed -n 's/.*"name": "\([^"]*\)", "version": "\([^"]*\)".*/\1=\2/p' "nix/locks/$1.json"; }

done_already=" "
lock() {
  local name=$1 parent packages pinned=()
  case $done_already in *" $name "*) return ;; esac
  parent=$(field "$name" 'if e.parent == null then "" else e.parent')
  packages=$(field "$name" 'builtins.concatStringsSep " " e.packages')
  if [ -n "$parent" ]; then
    if [ $all = yes ] || [ ! -e "nix/locks/$parent.json" ]; then lock "$parent"; fi
    mapfile -t pinned < <(pins "$parent")
  fi
  apt-get -y install --print-uris "${pinned[@]}" $packages 2> "$work/err" | grep "^'" > "$work/uris" || {
    cat "$work/err" >&2
    die "apt cannot resolve '$name'${parent:+ on top of lock '$parent'; if versions of that are gone: nix/tools/lock.sh $parent $name}"
  }
  # 'URI' FILE SIZE SHA256:HASH, where FILE is name_version_arch.deb with %-escapes
  sed -E 's/%3a/:/gI; s/%2b/+/gI; s/%7e/~/gI' "$work/uris" | awk -v debian="$debian" -v security="$security" -v date="$date" '
    { gsub(/\047/, "", $1)
      if (index($1, debian) == 1) { repo = "debian"; path = substr($1, length(debian) + 1) }
      else { repo = "debian-security"; path = substr($1, length(security) + 1) }
      split(substr($2, 1, length($2) - 4), part, "_"); sub(/^SHA256:/, "", $4)
      printf "  { \"name\": \"%s\", \"version\": \"%s\", \"arch\": \"%s\", ", part[1], part[2], part[3]
      printf "\"repo\": \"%s\", \"path\": \"%s\", \"size\": %d, \"sha256\": \"%s\" }\n", repo, path, $3, $4
    }' | LC_ALL=C sort > "$work/rows"
  grep -qvE '"sha256": "[0-9a-f]{64}"' "$work/rows" && die "apt gave no SHA256 for a package of '$name'"
  { printf '{ "date": "%s", "packages": [\n' "$date"; sed '$!s/$/,/' "$work/rows"; echo ']}'; } > "nix/locks/$name.json"
  done_already="$done_already$name "
  echo "nix/locks/$name.json: $(wc -l < "$work/rows") packages, $(awk '{s += $3} END {print int(s / 1000000)}' "$work/uris") MB"
}

all=no
if [ "$1" = --all ]; then
  all=yes
  set -- $(nix eval --raw --file nix/packages.nix --apply 'p: builtins.concatStringsSep " " (builtins.attrNames p)')
fi
for name in "$@"; do lock "$name"; done
echo "git add nix/locks: a flake sees tracked files only"
