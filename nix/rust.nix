# The workspace, compiled in the rust root from crates in the store.
#
# Dependencies are compiled once, on manifests and empty sources alone: a change of our code then compiles
# our two crates only. The result does not depend on where or when it was built.
{ fetch, bootstrap, roots }:
let
  top = ../.;
  topLength = builtins.stringLength (toString top) + 1;
  # The files below the top that `keep` (a predicate on the path from there) wants.
  pick = name: keep: builtins.path {
    inherit name; path = top;
    filter = path: _: keep (builtins.substring topLength (-1) path);
  };
  below = names: path: builtins.elem (builtins.head (builtins.split "/" path)) names;

  toml = file: builtins.fromTOML (builtins.readFile file);
  members = (toml (top + "/Cargo.toml")).workspace.members;
  src = pick "ringward-source" (below (members ++ [ "Cargo.toml" "Cargo.lock" "clippy.toml" "rustfmt.toml" "tests" ]));
  isManifest = path: builtins.elem path (members ++ [ "Cargo.toml" "Cargo.lock" ] ++ map (m: "${m}/Cargo.toml") members);
  manifests = pick "ringward-manifests" isManifest;
  # What some members are compiled from: a change of another one changes nothing for them.
  sourcesOf = names: pick "ringward-source-${builtins.head names}" (path: isManifest path || below names path);

  # Every target a manifest names, and those cargo finds by itself.
  stubs = builtins.concatStringsSep "\n" (builtins.concatMap
    (m:
      let
        manifest = toml (top + "/${m}/Cargo.toml");
        paths = kind: default: map (t: "${m}/${t.path or (default t.name)}") (manifest.${kind} or [ ]);
      in [ "${m}/src/lib.rs" "${m}/src/main.rs" ]
        ++ paths "bin" (_: "src/main.rs") ++ paths "test" (n: "tests/${n}.rs")
        ++ paths "bench" (n: "benches/${n}.rs") ++ paths "example" (n: "examples/${n}.rs"))
    members);

  vendor = let crates = fetch.crates (top + "/Cargo.lock"); in bootstrap.run {
    name = "cargo-vendor"; passAsFile = [ "list" ];
    list = builtins.concatStringsSep "" (map (c: "${c.file} ${c.checksum} ${c.name}-${c.version}\n") crates);
    script = ''
      mkdir $out; cd $out
      while read file sum crate; do
        tar -xzf $file
        printf '{"files":{},"package":"%s"}' $sum > $crate/.cargo-checksum.json
      done < $listPath
    '';
  };

  cargoWith = options: name: script: env: roots.inRoot (options // {
    inherit name script; root = roots.rust;
    env = { inherit vendor; cargoSh = ./rust/cargo.sh; } // env;
  });
  cargo = cargoWith { };

  # { target.tar }: what `commands` leave in target/, without anything of our own crates
  dependencies = name: commands: cargo "ringward-dependencies-${name}" ./rust/dependencies.sh {
    src = manifests; inherit commands stubs; stubsSh = ./rust/stubs.sh; passAsFile = [ "commands" "stubs" ];
  };

  release = dependencies "release" ''
    cargo build --release --package ringward
    cargo build --profile testbed --package testbed
  '';
  check = dependencies "check" ''
    cargo clippy --workspace --all-targets
    cargo test --workspace --no-run
  '';

  binary = package: profile: needs: linkArgs: cargo package ./rust/binary.sh {
    src = sourcesOf needs; linkArgs = map (a: "-Clink-arg=${a}") linkArgs; dependencies = release;
    inherit package profile stubs; stubsSh = ./rust/stubs.sh; passAsFile = [ "stubs" ];
  };
in
{
  # Goes into images, where its loader and libraries are Debian's.
  agent = binary "ringward" "release" [ "agent" ] [ ];

  # Runs on any machine: its loader and libraries are those of the lab root.
  testbed = binary "testbed" "testbed" [ "testbed" "agent" ] [
    "-Wl,--dynamic-linker=${roots.lab}/usr/lib64/ld-linux-x86-64.so.2"
    "-Wl,-rpath,${roots.lab}/usr/lib/x86_64-linux-gnu"
  ];

  checks =
    let
      checkWith = options: name: dependencies: commands: cargoWith options "check-${name}" ./rust/check.sh {
        inherit src dependencies commands; passAsFile = [ "commands" ];
      };
    in {
      fmt = checkWith { } "fmt" "" "cargo fmt --all --check";
      clippy = checkWith { } "clippy" check "cargo clippy --workspace --all-targets -- -D warnings";
      unit = checkWith { } "unit" check "cargo test --workspace";
      # Addresses, ARP and wake-on-LAN on real network devices.
      netns = checkWith { network = true; } "netns" check "cargo test --package ringward --test netns -- --test-threads 1";
    };
}
