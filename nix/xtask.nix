# The tool of this repository as a package.
{ lib, rustPlatform }:
rustPlatform.buildRustPackage {
  pname = "xtask";
  inherit ((lib.importTOML ../xtask/Cargo.toml).package) version;

  src = lib.fileset.toSource {
    root = ../.;
    # The unit tests also read the documents, and the files that the documents name.
    fileset = lib.fileset.unions [
      ../CHANGELOG.md
      ../CONTRIBUTING.md
      ../Cargo.lock
      ../Cargo.toml
      ../README.md
      ../SECURITY.md
      ../docs
      ../hosts
      ../nix
      ../templates
      ../xtask
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  # The suites need root, devices and Nix itself; `cargo xtask test` runs them.
  cargoTestFlags = [ "--lib" ];

  meta = {
    description = "Takes a Raspberry Pi from a NixOS flake to a running, verified host";
    license = lib.licenses.mit;
    mainProgram = "xtask";
    platforms = lib.platforms.linux;
  };
}
