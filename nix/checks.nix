# What must hold before a change lands. Each check is a derivation that fails when it does not hold.
{ bootstrap, roots, rust, roles, image, lab }:
let
  inherit (builtins) filter attrNames listToAttrs head;
  disks = filter (n: roles.${n}.kind != "layer") (attrNames roles);
  # The smallest image stands for all: they share every step.
  sample = if roles ? file2 then "file2" else head disks;
  agent = "${rust.agent}/bin/ringward";
  imageChecks = if disks == [ ] then { } else {
    # An image boots by UEFI alone, as it will on real hardware.
    uefi = roots.inRoot {
      name = "check-uefi"; root = roots.lab; script = ./checks/uefi.sh;
      env.image = image.image { inherit agent; } sample;
    };
    # An image built again is the same to the bit.
    rebuild = roots.inRoot {
      name = "check-rebuild"; root = roots.builder; script = ./checks/rebuild.sh;
      env = { first = image.image { inherit agent; } sample; second = image.image { inherit agent; extra.again = "1"; } sample; };
    };
  };
in
rust.checks // imageChecks // {
  # Shell scripts: those that Nix runs and those that people run.
  shell = roots.inRoot {
    name = "check-shell"; root = roots.rust; script = ./checks/shell.sh;
    env.src = builtins.path {
      name = "ringward-scripts"; path = ../.;
      filter = path: type: type == "directory" && !(builtins.elem (baseNameOf path) [ "agent" "testbed" "target" ".git" ])
        || builtins.match ".*\\.sh" path != null || builtins.elem (baseNameOf path) [ "run" "check" ];
    };
  };
  # Thousands of hours of whole clusters in virtual time.
  seeds = roots.inRoot {
    name = "check-seeds"; root = roots.lab; script = ./checks/seeds.sh;
    env.testbed = rust.testbed;
  };
  # The lab stands and what the paper did to one, two and three servers comes out right, without anything of
  # this machine but its processor.
  lab = lab.experiments "check-lab" "st1 st2 nt1 nt2 fig14/nt2-nt2 fig15/mail-web1-ftp";
}
