# What a user runs: the lab's description, and the testbed with that description at hand.
{ bootstrap, roots, roles, machines, vms, agent, testbed }:
let
  lib = "${roots.lab}/usr/lib/x86_64-linux-gnu";

  script = name: body: bootstrap.run {
    inherit name body; passAsFile = [ "body" ];
    script = ''
      mkdir -p $out/bin
      { echo '#!${bootstrap.busybox} sh'; cat $bodyPath; } > $out/bin/${name}
      chmod 755 $out/bin/${name}
    '';
  };
in rec {
  # See testbed/src/lab/bundle.rs. QEMU and the other tools run through their own loader, on any host.
  lab = bootstrap.text "lab.json" (builtins.toJSON {
    tools = roots.lab;
    loader = "${roots.lab}/usr/lib64/ld-linux-x86-64.so.2";
    library_path = lib;
    agent = "${agent}/bin/ringward";
    inherit machines vms;
  });

  run = script "ringward-run" ''
    export RINGWARD_LAB=''${RINGWARD_LAB:-${lab}}
    exec ${testbed}/bin/testbed run "$@"
  '';
  bed = script "testbed" ''
    export RINGWARD_LAB=''${RINGWARD_LAB:-${lab}}
    exec ${testbed}/bin/testbed "$@"
  '';

  # Runs experiments and fails if one is not good.
  experiments = name: words: roots.inRoot {
    inherit name; root = roots.lab; script = ./checks/lab.sh;
    env = { testbed = bed; experiments = words; };
  };
}
