# What `nix flake check` builds for the system of `pkgs`.
{
  self,
  inputs,
  pkgs,
}:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;
  deployLib = import ./deploy-rs.nix { inherit inputs; } system;

  ofThisSystem = lib.filterAttrs (
    _: host: host.pkgs.stdenv.hostPlatform.system == system
  ) self.nixosConfigurations;
  toplevels = lib.mapAttrs' (
    name: host: lib.nameValuePair "host-${name}" host.config.system.build.toplevel
  ) ofThisSystem;

  formatting =
    pkgs.runCommand "formatting"
      {
        nativeBuildInputs = [
          pkgs.nixfmt
          pkgs.rustfmt
        ];
        # Only the files that the two programs read, so that a change to the documentation does not rerun this check.
        src = lib.fileset.toSource {
          root = ../.;
          fileset = lib.fileset.unions [
            (lib.fileset.fileFilter (file: file.hasExt "nix" || file.hasExt "rs") ../.)
            ../rustfmt.toml
          ];
        };
      }
      ''
        cd "$src"
        find . -name '*.nix' -exec nixfmt --check {} +
        find . -name '*.rs' -exec rustfmt --edition 2024 --check {} +
        touch "$out"
      '';
in
toplevels
// deployLib.deployChecks self.deploy
// {
  inherit formatting;
  trial = import ./trial-test.nix { inherit self inputs pkgs; };
  shell = self.devShells.${system}.default;
  xtask = self.packages.${system}.xtask.overrideAttrs { doCheck = true; };
}
