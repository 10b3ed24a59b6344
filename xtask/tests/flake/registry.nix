# The registry of hosts as far as it goes without nixpkgs: which modules and facts each host is made of. Of the
# library there is as much as nix/hosts.nix takes, and a host is its list of modules.
let
  lib = rec {
    inherit (builtins) mapAttrs;
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
    filterAttrs =
      keep: set:
      removeAttrs set (builtins.filter (name: !keep name set.${name}) (builtins.attrNames set));
    nixosSystem = args: {
      inherit (args) modules;
      config.system.build = { };
    };
  };
  inputs.nixpkgs = {
    inherit lib;
  };

  root = toString ../../..;
  # Paths below the repository, and what is said by a host's facts.
  show =
    module:
    if builtins.isAttrs module then
      module
    else
      builtins.substring (builtins.stringLength root + 1) (-1) (toString module);
  shown =
    args:
    builtins.mapAttrs (_: host: map show host.modules)
      (import ../../../nix/hosts.nix ({ inherit inputs; } // args)).nixosConfigurations;

  registry = import ../../../hosts;
in
{
  hosts = shown { };
  there = builtins.mapAttrs (
    name: _: builtins.pathExists (../../../hosts + "/${name}/default.nix")
  ) registry;
  facts = builtins.mapAttrs (_: builtins.attrNames) registry;
  added = shown {
    registry = registry // {
      second = {
        system = "aarch64-linux";
        address = "second.lan";
        admin = "somebody";
      };
    };
  };
}
