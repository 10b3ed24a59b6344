# The Nix of the pages in a tree of this repository (XTASK_PAGES): hosts of its registry, and flakes of other people in
# its folder `flakes`.
let
  root = builtins.getEnv "XTASK_PAGES";
  inherit (import ./flakes.nix root) load nixpkgs flake;
  inherit (nixpkgs) lib;
  outcome = _: host: {
    inherit (host.config) warnings;
    failed = map (entry: entry.message) (
      builtins.filter (entry: !entry.assertion) host.config.assertions
    );
    toplevel = host.config.system.build.toplevel.drvPath;
  };
  flakeOutcome =
    name:
    let
      other = load "${root}/flakes/${name}" {
        inherit nixpkgs;
        xtask = flake;
      };
    in
    {
      hosts = lib.mapAttrs outcome other.nixosConfigurations;
      images = lib.mapAttrs (_: lib.mapAttrs (_: image: image.drvPath)) other.packages;
    };
in
{
  hosts = lib.mapAttrs outcome flake.nixosConfigurations;
  nodes = lib.mapAttrs (_: node: { inherit (node) hostname sshUser; }) flake.deploy.nodes;
  flakes = lib.genAttrs (lib.attrNames (builtins.readDir "${root}/flakes")) flakeOutcome;
}
