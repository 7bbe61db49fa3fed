# Hours of whole clusters under faults drawn from seeds break no rule of safety. A seed that fails prints how
# to repeat it. Runs in the lab root; what was said is the result.
set -euo pipefail
mkdir -p /build/o
sim() { echo "testbed sim $*"; "$testbed/bin/testbed" sim --seed 1 "$@"; }
{
  sim --seeds 1000 --servers 2
  sim --seeds 1000 --servers 3
  sim --seeds 1000 --servers 6 --topology star
  sim --seeds 200 --servers 6 --profile fast
  sim --seeds 10000 --servers 6
} 2>&1 | tee /build/o/seeds.txt
