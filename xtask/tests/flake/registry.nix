# The registry of hosts without nixpkgs: the modules and facts of each host. `lib` contains only the functions that
# nix/hosts.nix uses, and a host is the list of its modules.
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
  # A module as text: a path relative to the repository, or the attributes that the facts of a host set.
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
  has_folder = builtins.mapAttrs (
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
