{
  description = "Ringward: servers that guard each other in a ring";

  # No inputs: Debian comes from locked .debs, see nix/.
  outputs = { self }:
    let
      system = "x86_64-linux";
      rooms = import ./nix { inherit system; };
    in {
      packages.${system} = {
        toolroot-builder = rooms.roots.builder;
        toolroot-rust = rooms.roots.rust;
        toolroot-lab = rooms.roots.lab;
      } // rooms.images;
    };
}
