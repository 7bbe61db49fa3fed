# Makes one layer or image. Runs as bash in the builder root, under fakeroot, in /build; see image.nix for its environment.
set -euo pipefail
umask 022
export FAKEROOTDONTTRYCHOWN=1 TZ=UTC DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
R=/build/root
mkdir -p $R /build/o
say() { echo "[${SECONDS}s] $*"; }

. "$layerSh"
if [ "$output" = tar ]; then
  say "tar"
  root_tar > /build/o/root.tar
else
  . "$initrdSh"
  . "$diskSh"
fi
say "done"
ls -l /build/o
