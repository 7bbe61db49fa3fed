# The rooms of nix/, put together. No nixpkgs: everything is `derivation` and builtins.
{ system }:
rec {
  fetch = import ./fetch.nix { inherit system; inherit (bootstrap) busybox; };
  bootstrap = import ./bootstrap.nix { inherit system fetch; };
  roots = import ./roots.nix { inherit fetch bootstrap; };
  roles = import ./roles.nix;
  image = import ./image.nix { inherit fetch bootstrap roots roles; };

  # Every role as a package: layers as tars, machines and VMs as disks.
  images = image.layers // builtins.mapAttrs (n: _: image.image { agent = ./image/agent.sh; } n)
    (builtins.removeAttrs roles (builtins.attrNames image.layers));
}
