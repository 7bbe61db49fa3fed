# Fig. 13, one pair of Fig. 14 and Fig. 15 in the build sandbox. Runs in the lab root; the run directories are the result.
set -euo pipefail
exec "$testbed/bin/testbed" run fig13 fig14/nt2-nt2 fig15 --out /build/o
