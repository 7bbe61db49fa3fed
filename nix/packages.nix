# What each lock must hold: names for apt's solver, and the lock it builds upon.
# nix/tools/lock.sh reads this; so the flake, the locks and the images cannot disagree about names.
let
  # What a .deb may take for granted.
  essential = [ "?essential" ];
  roots = {
    # Unpacks, makes images.
    builder = essential ++ [
      "cpio" "dosfstools" "dpkg" "e2fsprogs" "erofs-utils" "fakeroot" "fdisk" "kmod" "libarchive13t64" "mount" "mtools"
      "qemu-utils" "systemd-boot-efi" "util-linux" "xz-utils" "zstd"
    ];
    # Compiles and checks the workspace.
    rust = essential ++ [
      "ca-certificates" "cargo" "gcc" "iproute2" "libc6-dev" "libvirt-dev" "pkg-config" "rust-clippy" "rustc" "rustfmt" "shellcheck"
    ];
    # What the testbed runs.
    lab = essential ++ [
      "dosfstools" "e2fsprogs" "libarchive13t64" "mount" "mtools" "ovmf" "qemu-system-x86" "qemu-utils" "util-linux"
    ];
    # Unpacks the first of them.
    busybox = [ "busybox-static" ];
    # The lowest layer of an image, as far as dpkg and apt.
    essential = essential ++ [ "apt" ];
  };
  roles = import ./roles.nix;
in
builtins.mapAttrs (_: packages: { parent = null; inherit packages; }) roots
// builtins.mapAttrs
  (_: r: {
    # A parent without a lock of its own hands its parent's on.
    inherit (r) packages;
    parent =
      let up = p: if p == null || roles.${p}.packages != [ ] then p else up roles.${p}.parent;
      in if r.parent == null then "essential" else up r.parent;
  })
  (builtins.removeAttrs roles (builtins.filter (n: roles.${n}.packages == [ ]) (builtins.attrNames roles)))
