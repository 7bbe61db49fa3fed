# Experiments in the build sandbox. Runs in the lab root; the run directories are the result.
set -euo pipefail
exec "$testbed/bin/testbed" run $experiments --out /build/o
