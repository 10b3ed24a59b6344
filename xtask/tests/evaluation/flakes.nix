# The flake in the folder `root`, a tree of this repository, around source trees of its inputs: XTASK_NIXPKGS is nixpkgs,
# XTASK_INPUTS a folder with impermanence, nixos-hardware and deploy-rs.
root:
let
  inputs = builtins.getEnv "XTASK_INPUTS";

  # What Nix does with a flake, without copying the tree into the store.
  load =
    path: inputs:
    let
      self = (import (path + "/flake.nix")).outputs (inputs // { inherit self; }) // {
        outPath = path;
        inherit inputs;
        lastModified = 1;
        lastModifiedDate = "20260101000000";
      };
    in
    self;

  nixpkgs = load (builtins.getEnv "XTASK_NIXPKGS") { };
  # As much of flake-utils as deploy-rs asks for before its overlay is there.
  utils.lib = {
    defaultSystems = [ ];
    eachSystem = _: _: { };
  };
  flake = load root {
    inherit nixpkgs;
    impermanence = load "${inputs}/impermanence" {
      inherit nixpkgs;
      home-manager = { };
    };
    nixos-hardware = load "${inputs}/nixos-hardware" { inherit nixpkgs; };
    deploy-rs = load "${inputs}/deploy-rs" { inherit nixpkgs utils; };
  };
in
{
  inherit load nixpkgs flake;
}
