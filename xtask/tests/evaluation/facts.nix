# This repository's flake, evaluated around source trees of its inputs: XTASK_NIXPKGS is nixpkgs, XTASK_INPUTS
# a folder with impermanence, nixos-hardware and deploy-rs. What the suite asserts, as data.
let
  root = toString ../../..;
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

  inherit (flake.nixosConfigurations.stinky) config;
  persisted = config.environment.persistence."/nix/persist";
  derivations = builtins.mapAttrs (_: value: value.drvPath);
in
{
  system = {
    fileSystems = builtins.mapAttrs (_: value: {
      inherit (value)
        device
        fsType
        neededForBoot
        options
        ;
    }) config.fileSystems;
    mirroredBoots = map (mirror: mirror.path) config.boot.loader.generic-extlinux-compatible.mirroredBoots;
    directories = map (directory: directory.dirPath) persisted.directories;
    files = map (file: file.filePath) persisted.files;
    hostKeys = map (key: key.path) config.services.openssh.hostKeys;
    growthBefore = config.systemd.services.grow-nixos-sd.before;
    buildDir = config.nix.settings.build-dir;
    inherit (config) warnings;
    failed = map (entry: entry.message) (builtins.filter (entry: !entry.assertion) config.assertions);
  };
  node = removeAttrs flake.deploy.nodes.stinky [ "profiles" ];
  profile = flake.deploy.nodes.stinky.profiles.system.path.drvPath;
  packages = builtins.mapAttrs (_: derivations) flake.packages;
  checks = builtins.mapAttrs (_: derivations) flake.checks;
  shells = builtins.mapAttrs (_: derivations) flake.devShells;
  formatters = derivations flake.formatter;
  toplevel = config.system.build.toplevel.drvPath;
}
