# Debian images in layers: base -> server -> role.
#
# A layer is its whole root as a tar (the only thing that carries owners and setuid bits through the
# store). A role unpacks its parent's tar, lets apt install what its own lock adds, and becomes a disk
# in the same derivation. The agent comes last, into a partition of its own, by a derivation that takes
# a second: our code changes far more often than Debian does.
{ fetch, bootstrap, roots, roles }:
let
  path = p: builtins.path { path = p; name = fetch.clean (baseNameOf p); };

  # The nearest role up the chain, itself included, that has a lock; null: none.
  locked = name: if name == null then null else if roles.${name}.packages != [ ] then name else locked roles.${name}.parent;

  debsFor = r:
    if r.packages == [ ] then [ ]
    else fetch.debsBeyond (if r.parent == null then "essential" else locked r.parent) r.name;

  # Fixed, so that the same inputs give the same bits.
  ids = {
    SOURCE_DATE_EPOCH = "1790000000";
    DISK_UUID = "6b1d3a5e-0c0e-4f0a-9b1c-000000000001";
    ESP_UUID = "6b1d3a5e-0c0e-4f0a-9b1c-000000000002";
    ROOT_UUID = "6b1d3a5e-0c0e-4f0a-9b1c-000000000003";
    ROOT_PARTUUID = "6b1d3a5e-0c0e-4f0a-9b1c-000000000004";
    AGENT_PARTUUID = "6b1d3a5e-0c0e-4f0a-9b1c-000000000005";
  };

  env = r: ids // {
    parentTar = if r.parent == null then "" else layer r.parent;
    # Only the lowest layer has no dpkg yet: these make it work.
    essential = if r.parent == null then fetch.debs "essential" else [ ];
    debs = debsFor r;
    passAsFile = [ "debs" "essential" ];
    files = map path r.files;
    custom = map path r.custom;
    layerSh = ./image/layer.sh;
  };

  # What only the end of a build needs: a change here must not rebuild the layers.
  diskEnv = r: {
    inherit (r) cmdline rootMB;
    agent = if r.agent then "1" else "";
    initrdSh = ./image/initrd.sh; diskSh = ./image/disk.sh; initSh = ./image/init.sh;
    inherit (bootstrap) busybox;
  };

  build = r: extra: roots.inRoot {
    name = "image-${r.name}"; root = roots.builder; fakeroot = true; script = ./image/build.sh;
    env = env r // (if r.kind == "layer" then { output = "tar"; } else diskEnv r // { output = "disk"; }) // extra;
  };

  layer = name: "${build roles.${name} { }}/root.tar";

  withAgent = r: disk: agent: roots.inRoot {
    name = "image-${r.name}-agent"; root = roots.builder; script = ./image/agent.sh;
    env = ids // { inherit disk agent; };
  };
in
{
  layers = builtins.mapAttrs (_: r: build r { }) (builtins.removeAttrs roles
    (builtins.filter (n: roles.${n}.kind != "layer") (builtins.attrNames roles)));

  # role -> { disk.qcow2, vmlinuz, initrd, cmdline }; `extra` makes a second derivation of the same image
  image = { agent, extra ? { } }: name:
    let r = roles.${name}; disk = build r extra; in
    if r.agent then withAgent r disk agent else disk;
}
