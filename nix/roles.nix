# The roles in images/, one file each, with defaults filled in.
#
# A role is an attribute set:
#   kind      "layer"    something other roles stand on; yields no disk
#             "machine"  a computer of the lab: a disk that boots by UEFI
#             "vm"       a backup VM's disk
#   parent    the layer it stands on (null only for the lowest)
#   packages  Debian packages it adds; their whole closure is in nix/locks/<role>.json (nix/tools/lock.sh <role>).
#             None added: no lock of its own
#   files     list of directories copied over the root, owner root, modes 755 and 644 (by the x bit)
#   custom    list of bash scripts, run in order after packages and files: $R is the root,
#             `inr COMMAND` runs in it
#   agent     true: has the partition that holds the agent, mounted at /usr/lib/ringward
#   rootMB    size of the root file system
#   cmdline   kernel parameters beside root= and console=
let
  dir = ../images;
  entries = if builtins.pathExists dir then builtins.readDir dir else { };
  names = map (f: builtins.substring 0 (builtins.stringLength f - 4) f)
    (builtins.filter (f: builtins.match ".*\\.nix" f != null) (builtins.attrNames entries));
  defaults = { parent = "base"; packages = [ ]; files = [ ]; custom = [ ]; agent = false; rootMB = 1536; cmdline = ""; };
  role = name: defaults // { inherit name; } // import (dir + "/${name}.nix");
in
builtins.listToAttrs (map (name: { inherit name; value = role name; }) names)
