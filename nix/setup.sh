# Sourced by run, check and the tools: finds or installs Nix, and sets it up by environment alone.

fail() { echo "error: $*" >&2; exit 1; }

# Runs a command as root: we are, or sudo lets us (asking for a password only where somebody can answer).
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo > /dev/null && { sudo -n true 2> /dev/null || { [ -t 0 ] && sudo true; }; }; then sudo "$@"
  else return 1
  fi
}

need_packages() {
  local missing=() p
  for p in "$@"; do dpkg -s "$p" > /dev/null 2>&1 || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return
  local lacks="this machine lacks ${missing[*]}"
  command -v apt-get > /dev/null || fail "$lacks and is not Debian: install Nix and git, then run this again"
  as_root true || fail "$lacks, and $(id -un) has no right to install that (neither root nor sudo)." \
    "Nothing was changed. As root: apt-get install ${missing[*]}"
  echo "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > /dev/null
}

need_nix() {
  local missing=()
  command -v nix > /dev/null || missing+=(nix-bin)
  command -v git > /dev/null || missing+=(git)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
  [ ${#missing[@]} = 0 ] || need_packages "${missing[@]}"

  # A daemon builds for whoever may talk to it. Else the store must be ours.
  if [ -S /nix/var/nix/daemon-socket/socket ] && [ ! -w /nix/var/nix/db ]; then
    export NIX_REMOTE=daemon
  elif [ ! -d /nix ] && [ "$(id -u)" != 0 ]; then
    as_root install -d -m 755 -o "$(id -u)" -g "$(id -g)" /nix ||
      fail "there is no /nix, and $(id -un) has no right to make it. Nothing was built. As root: install -d -o $(id -un) /nix"
  elif [ -d /nix ] && [ ! -w /nix ] && [ ! -w /nix/var/nix/db ]; then
    fail "/nix belongs to $(stat -c %U /nix) and no Nix daemon runs: $(id -un) cannot build." \
      "Start nix-daemon, or run this as $(stat -c %U /nix)"
  fi

  NIX_CONFIG="experimental-features = nix-command flakes
sandbox = true
sandbox-fallback = false
substituters =
warn-dirty = false
max-jobs = ${RINGWARD_JOBS:-$(nproc)}
$([ -n "${NIX_REMOTE:-}" ] || echo 'build-users-group =')
${NIX_CONFIG:-}"
  export NIX_CONFIG
  # git refuses a clone that belongs to somebody else; a flake is read through git.
  export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$PWD
}

# Needs $2 GB where the store is or, once $1 (a link that `build` made) leads somewhere, what a change of ours takes.
need_room() {
  local where=/nix gb=$2 free
  [ ! -e "$1" ] || gb=6
  [ -d $where ] || where=/
  free=$(($(df --output=avail -k $where | tail -1) / 1048576))
  [ "$free" -ge $gb ] || fail "$where has $free GB free, and building takes $gb GB." \
    "Nothing was built. Make room, or if the store is old: nix-collect-garbage"
}

# Every name that `run` takes: all, the files, and their cases by short and by long name.
experiments() {
  local file of
  {
    echo paper fig12 table1
    for file in testbed/experiments/*.toml; do
      of=$(basename "$file" .toml)
      echo "$of"
      sed -n '/^\[\[case\]\]/,$ s,^name = "\(.*\)"$,\1 '"$of"'/\1,p' "$file"
    done
  } | xargs
}

# Builds the flake's output $1 and keeps it from the garbage collector as result-$1.
build() {
  local output=$1
  shift
  nix build ".#$output" --out-link "result-${output##*.}" --log-format internal-json "$@" 2>&1 | awk -f nix/progress.awk
  return "${PIPESTATUS[0]}"
}

# Runs a command under a heading, and says how long it took.
phase() {
  local title=$1 began=$SECONDS status=0
  shift
  echo "== $title"
  "$@" || status=$?
  if [ $status = 0 ]; then echo "== $title: $((SECONDS - began)) s"; else echo "== $title: FAILED after $((SECONDS - began)) s"; fi
  return $status
}
