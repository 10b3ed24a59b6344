{
  description = "NixOS on Raspberry Pi, from source to a running and verified host";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    impermanence = {
      url = "github:nix-community/impermanence";
      inputs.nixpkgs.follows = "nixpkgs";
      # Only its own tests use it; an empty name is "no input".
      inputs.home-manager.follows = "";
    };
    nixos-hardware = {
      url = "github:NixOS/nixos-hardware";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    deploy-rs = {
      url = "github:serokell/deploy-rs";
      inputs.nixpkgs.follows = "nixpkgs";
      # Only for Nix without flakes.
      inputs.flake-compat.follows = "";
    };
  };

  outputs =
    inputs@{ self, nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
      eachSystem = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      hosts = import ./nix/hosts.nix { inherit inputs; };
    in
    {
      # For other flakes: a host as stinky is, the image of any host, and a flake to begin with.
      nixosModules = {
        raspberry-pi = import ./nix/module.nix { inherit inputs; };
        # Only the trial of new generations, for a Pi of any layout.
        trial = ./hosts/raspberry-pi/trial;
      };
      lib.sdImage = import ./nix/sd-image.nix { inherit self; };
      templates.default = {
        path = ./templates/cluster;
        description = "A cluster with one Raspberry Pi";
      };

      inherit (hosts) nixosConfigurations;
      deploy.nodes = hosts.deployNodes;

      # The images are there for both systems: assembled by tools of the system that is named, around the
      # same AArch64 closure. `nix build .#stinky-sdImage` thus works on a workstation and on a Pi.
      packages = eachSystem (
        pkgs:
        hosts.images pkgs
        // rec {
          xtask = pkgs.callPackage ./nix/xtask.nix { };
          default = xtask;
        }
      );

      apps = eachSystem (pkgs: rec {
        xtask = {
          type = "app";
          program = lib.getExe self.packages.${pkgs.stdenv.hostPlatform.system}.xtask;
          meta.description = "Build, flash and deploy the hosts of a flake";
        };
        default = xtask;
      });

      devShells = eachSystem (pkgs: {
        default = pkgs.callPackage ./nix/shell.nix {
          aarch64 = nixpkgs.legacyPackages.aarch64-linux;
        };
      });
      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
      checks = eachSystem (pkgs: import ./nix/checks.nix { inherit self inputs pkgs; });
    };
}
