{
  description = "Ringward: servers that guard each other in a ring";

  # No inputs: Debian comes from locked .debs and crates from Cargo.lock, see nix/.
  # Both must be in the store first: `nix run .#seed`, or ./run and ./check, which see to it.
  outputs = { self }:
    let
      system = "x86_64-linux";
      rooms = import ./nix { inherit system; };
      app = program: { type = "app"; inherit program; };
      # An app must lie in the output of a derivation, and nothing can be built before seeding but by Nix itself.
      source = derivation {
        name = "ringward-source"; system = "builtin"; builder = "builtin:buildenv";
        derivations = [ "true" "5" "1" self ]; manifest = self;
      };
    in {
      packages.${system} = rooms.image.layers // rooms.machines // rooms.vms // {
        inherit (rooms.rust) testbed;
        inherit (rooms.lab) lab run bed;
        # Every experiment there is. The output holds the report; if one is not good there is none, and the log says why.
        experiments = rooms.lab.experiments "experiments" "paper";
        ringward = rooms.rust.agent;
        default = rooms.lab.run;
        toolroot-builder = rooms.roots.builder;
        toolroot-rust = rooms.roots.rust;
        toolroot-lab = rooms.roots.lab;
      };

      apps.${system} = {
        # nix run . -- nt2
        default = app "${rooms.lab.run}/bin/ringward-run";
        # nix run .#testbed -- lab up
        testbed = app "${rooms.lab.bed}/bin/testbed";
        # nix run .#seed
        seed = app "${source}/nix/tools/seed.sh";
      };

      # nix flake check --max-jobs 1: machines that boot side by side slow each other down
      checks.${system} = rooms.checks;
    };
}
