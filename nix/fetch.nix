# What comes from outside: .debs named by the locks and crates named by Cargo.lock.
#
# Both are fixed-output derivations whose store path depends on name and hash alone, so what
# nix/tools/seed.sh has put into the store is never fetched. An unseeded .deb comes from the Debian
# snapshot archive, as of the day of its lock; an unseeded crate is an error that says what to run.
{ system, busybox }:
let
  archive = "http://snapshot.debian.org/archive";
  clean = builtins.replaceStrings [ "~" ":" "%" ] [ "-" "-" "-" ];

  fetchDeb = date: d:
    let url = "${archive}/${d.repo}/${date}/${d.path}"; in derivation {
      name = clean "${d.name}_${d.version}_${d.arch}.deb";
      inherit url; urls = [ url ]; unpack = false; executable = false;
      system = "builtin"; builder = "builtin:fetchurl"; preferLocalBuild = true;
      outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = d.sha256;
      impureEnvVars = [ "http_proxy" "https_proxy" "ftp_proxy" "all_proxy" "no_proxy" ];
    };
in rec {
  inherit clean;

  # name -> { date; packages = [ { name version arch repo path size sha256 deb } ]; }
  lock = name:
    let
      file = ./locks + "/${name}.json";
      l = builtins.fromJSON (builtins.readFile file);
    in
    if builtins.pathExists file
    then l // { packages = map (d: d // { deb = fetchDeb l.date d; }) l.packages; }
    else throw "nix/locks/${name}.json does not exist: write it with nix/tools/lock.sh ${name} and git add it";

  debs = name: map (d: d.deb) (lock name).packages;

  # The .debs that `name` has and `parent` lacks. A lock that does not hold its parent's
  # packages at the same versions was made before the parent's: the layers would not fit.
  debsBeyond = parent: name:
    let
      inParent = builtins.listToAttrs (map (d: { name = d.sha256; value = d; }) (lock parent).packages);
      own = (lock name).packages;
      inOwn = builtins.listToAttrs (map (d: { name = d.sha256; value = d; }) own);
      missing = builtins.filter (d: !(inOwn ? ${d.sha256})) (lock parent).packages;
    in
    if missing != [ ]
    then throw "nix/locks/${name}.json lacks ${(builtins.head missing).name} as locked in ${parent}.json: run nix/tools/lock.sh --all"
    else map (d: d.deb) (builtins.filter (d: !(inParent ? ${d.sha256})) own);

  # Cargo knows its registry and downloads (seed.sh); this only names what must be in the store.
  crates = lockFile: map
    (p: p // {
      file = derivation {
        name = "${p.name}-${p.version}.crate"; inherit system; builder = busybox;
        args = [ "sh" "-c" "echo '${p.name}-${p.version}.crate is not in the Nix store: run nix/tools/seed.sh' >&2; exit 1" ];
        outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = p.checksum;
      };
    })
    (builtins.filter (p: p ? checksum) (builtins.fromTOML (builtins.readFile lockFile)).package);
}
