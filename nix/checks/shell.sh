# Every script parses and passes shellcheck. Runs in the rust root.
set -euo pipefail
mkdir o
cd "$src"
status=0
while read -r f; do
  case $(head -1 "$f") in
    '#!'*busybox*) options=(--shell=busybox) ;;
    *) options=(--shell=bash); bash -n "$f" || status=1 ;;
  esac
  # Variables come from the derivation (SC2154) or go to whoever sources the script (SC2034); lists of
  # store paths are split on purpose (SC2086, SC2046); sourced files are store paths (SC1090, SC1091);
  # functions serve whoever sources the file (SC2119, SC2120, SC2329); set -e is in force (SC2164).
  shellcheck --severity=warning --exclude=SC2154,SC2034,SC2086,SC2046,SC1090,SC1091,SC2119,SC2120,SC2164,SC2329 "${options[@]}" "$f" || status=1
done < <(find . -name '*.sh' -o -type f -name run -o -type f -name check)
exit $status
