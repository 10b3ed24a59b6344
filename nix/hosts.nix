# Turns the registry of hosts into NixOS configurations, SD images and deploy nodes.
{
  inputs,
  # `registry` has the facts about each host by its name; `moduleOf` returns the path of the module of a host.
  registry ? import ../hosts,
  moduleOf ? name: ../hosts + "/${name}",
}:
let
  inherit (inputs) nixpkgs;
  inherit (nixpkgs) lib;
  deployLib = import ./deploy-rs.nix { inherit inputs; };

  nixosConfigurations = lib.mapAttrs (
    name: facts:
    lib.nixosSystem {
      specialArgs = { inherit inputs; };
      modules = [
        ../hosts/common
        (moduleOf name)
        {
          networking.hostName = name;
          nixpkgs.hostPlatform = facts.system;
          common.admin = facts.admin;
        }
      ];
    }
  ) registry;

  # By their facts alone: a host whose configuration is broken must not take the images of all others along.
  withImage = lib.filterAttrs (_: facts: facts.system == "aarch64-linux") registry;
in
{
  inherit nixosConfigurations;

  # The SD images, assembled by the tools of `pkgs`. A host without the modules of a Raspberry Pi has none.
  images =
    pkgs:
    lib.mapAttrs' (
      name: _:
      let
        build = nixosConfigurations.${name}.config.system.build;
      in
      lib.nameValuePair "${name}-sdImage" (
        if build ? sdImageAssembledBy then
          build.sdImageAssembledBy pkgs
        else
          throw "${name} has no SD image: its modules do not import hosts/raspberry-pi"
      )
    ) withImage;

  deployNodes = lib.mapAttrs (name: facts: {
    hostname = facts.address;
    sshUser = facts.admin;
    # Without these options, ssh notices a dead link only when TCP does.
    sshOpts = [
      "-o"
      "ServerAliveInterval=15"
      "-o"
      "ServerAliveCountMax=4"
    ];
    profiles.system = {
      user = "root";
      # The library of the host's own system: another one gives the host an `activate` it cannot run.
      path = (deployLib facts.system).activate.nixos nixosConfigurations.${name};
    };
  }) registry;
}
