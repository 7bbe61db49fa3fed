# From nothing to a busybox shell, with no tool of the host.
#
# A .deb is an `ar` archive, which no builtin of Nix opens. bootstrap/ar-data (920 bytes, static, source
# beside it) copies the data member out; builtin:unpack-channel (libarchive) unpacks that.
{ system, fetch }:
rec {
  arData = builtins.path { path = ./bootstrap/ar-data; name = "ar-data"; };

  busyboxData = derivation {
    name = "busybox-data.tar.xz"; inherit system; builder = arData;
    args = [ (builtins.head (fetch.debs "busybox")) (builtins.placeholder "out") ];
  };
  busyboxTree = derivation {
    name = "busybox-tree"; system = "builtin"; builder = "builtin:unpack-channel";
    channelName = "usr"; src = busyboxData;
  };
  busybox = "${busyboxTree}/usr/bin/busybox";

  # Runs `script` under busybox sh with every applet on PATH. Further attributes go to its environment.
  run = { name, script, ... }@args: derivation (removeAttrs args [ "script" ] // {
    inherit system; builder = busybox;
    args = [ "sh" "-euc" ''
      mkdir -p /build/bb; ${busybox} --install -s /build/bb; export PATH=/build/bb
      ${script}'' ];
  });

  # A small text file that may name store paths.
  text = name: content: run {
    inherit name content; passAsFile = [ "content" ];
    script = "cp $contentPath $out";
  };
}
