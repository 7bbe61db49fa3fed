# Tool roots: the trees of a lock's .debs, unpacked and not configured.
#
# A store path holds no owner, no setuid bit and no device, so a root is good for its tools only: no
# alternatives, no ldconfig cache, no users. `inRoot` runs a bash script as root of a user namespace inside one.
{ fetch, bootstrap }:
let
  inherit (bootstrap) arData run;

  # Before the first .deb, so that those which still ship /bin/x land in /usr/bin.
  merged = ''
    mkdir -p usr/bin usr/sbin usr/lib usr/lib64
    ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64
  '';
  # Places that inRoot mounts over, and the one user there is.
  finish = ''
    mkdir -p proc sys dev tmp build nix/store etc
    echo root:x:0:0:root:/root:/bin/sh > etc/passwd; echo root:x:0: > etc/group
  '';
in rec {
  # The first root has only busybox to unpack it, whose xz is slow: keep it small.
  builder = run {
    name = "toolroot-builder"; debs = fetch.debs "builder";
    script = ''
      mkdir -p $out; cd $out
      ${merged}
      for d in $debs; do
        ${arData} $d /build/data
        xz -dc < /build/data | tar -x -f - || { echo "cannot unpack $d" >&2; exit 1; }
        rm /build/data
      done
      ${finish}
    '';
  };

  # Every other root is unpacked by the first, on all cores.
  toolRoot = name: inRoot {
    name = "toolroot-${name}"; root = builder;
    script = builtins.toFile "toolroot.sh" ''
      set -euo pipefail
      umask 022
      mkdir /build/o; cd /build/o
      ${merged}
      unpack() { dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner --no-same-permissions --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' -f -; }
      export -f unpack
      printf '%s\n' $debs | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'unpack {}'
      ${finish}
    '';
    env.debs = fetch.debs name;
  };

  rust = toolRoot "rust";
  lab = toolRoot "lab";

  # Runs the bash file `script` inside `root`, in /build, as uid 0 of a user namespace; what it leaves
  # in /build/o is the result. `fakeroot` lets it own, mknod and setuid in the eyes of tar and dpkg
  # (the SysV one: a sandbox has its own IPC namespace, and fakeroot-tcp was seen to lose a request and hang). `network` gives it an empty
  # network of which it is root.
  inRoot = { name, root, script, fakeroot ? false, network ? false, env ? { } }: run ({
    inherit name;
    bashScript = script;
    script = ''
      mkdir -p /build/t /build/w
      for f in ''${passAsFile:-}; do eval "cp \$''${f}Path /build/w/$f"; done
      cat > /build/enter.sh <<'X'
      set -eu
      mount --bind ${root} /build/t
      mount -t proc proc /build/t/proc
      mount --rbind /dev /build/t/dev
      mount -t tmpfs tmpfs /build/t/tmp
      mount --rbind /nix/store /build/t/nix/store
      mount --bind /build/w /build/t/build
      export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 HOME=/build
      exec /build/bb/chroot /build/t /bin/bash -c 'cd /build; exec ${
        if fakeroot then "fakeroot-sysv -l /usr/lib/x86_64-linux-gnu/libfakeroot/libfakeroot-sysv.so --faked /usr/bin/faked-sysv -- " else ""
      }bash $bashScript'
      X
      unshare -Ur -m -p -f ${if network then "-n " else ""}--propagation private sh /build/enter.sh
      mv /build/w/o $out
    '';
  } // env);
}
