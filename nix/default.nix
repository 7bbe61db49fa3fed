# The rooms of nix/, put together. No nixpkgs: everything is `derivation` and builtins.
{ system }:
rec {
  fetch = import ./fetch.nix { inherit system; inherit (bootstrap) busybox; };
  bootstrap = import ./bootstrap.nix { inherit system fetch; };
  roots = import ./roots.nix { inherit fetch bootstrap; };
  roles = import ./roles.nix;
  image = import ./image.nix { inherit fetch bootstrap roots roles; };
  rust = import ./rust.nix { inherit fetch bootstrap roots; };

  build = image.image { agent = "${rust.agent}/bin/ringward"; };
  ofKind = kind: builtins.listToAttrs (builtins.concatMap
    (name: if roles.${name}.kind == kind then [ { inherit name; value = build name; } ] else [ ])
    (builtins.attrNames roles));
  machines = ofKind "machine";
  vms = ofKind "vm";

  lab = import ./lab.nix { inherit bootstrap roots roles machines vms; inherit (rust) agent testbed; };
  checks = import ./checks.nix { inherit bootstrap roots rust roles image lab; };
}
