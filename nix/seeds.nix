# For nix/tools/seed.sh: one line for each thing that must be in the store before a build, of the locks or of Cargo.lock.
let
  system = "x86_64-linux";
  rooms = import ./. { inherit system; };
  inherit (rooms) fetch;
  lines = builtins.concatStringsSep "\n";
  locks = builtins.attrNames (import ./packages.nix);
in {
  # store path, sha256, archive, path in the archive, name=version, lock, derivation that would fetch it from the snapshot archive
  debs = lines (builtins.concatMap
    (l: map (d: "${d.deb} ${d.sha256} ${d.repo} ${d.path} ${d.name}=${d.version} ${l} ${builtins.unsafeDiscardStringContext d.deb.drvPath}") (fetch.lock l).packages)
    locks);
  # store path, file name in cargo's cache
  crates = lines (map (c: "${c.file} ${c.name}-${c.version}.crate") (fetch.crates ../Cargo.lock));
  rustRoot = rooms.roots.rust;
}
