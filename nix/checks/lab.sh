# Two experiments of Fig. 13 in the build sandbox. Runs in the lab root; the run directories are the result.
set -euo pipefail
exec "$testbed/bin/testbed" run st1 nt2 --out /build/o
