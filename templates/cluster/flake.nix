{
  description = "A cluster with one Raspberry Pi";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    # The tool and the module of a Raspberry Pi. TO FILL IN, here alone: the address that this template came from, the
    # REPOSITORY of `nix flake init -t REPOSITORY`, such as github:OWNER/NAME or git+https://HOST/PATH.
    xtask = {
      url = "git+https://example.org/nixos-raspberry-pi";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { nixpkgs, xtask, ... }:
    let
      eachSystem = nixpkgs.lib.genAttrs [
        "aarch64-linux"
        "x86_64-linux"
      ];
    in
    {
      nixosConfigurations.pi = nixpkgs.lib.nixosSystem {
        system = "aarch64-linux";
        modules = [
          xtask.nixosModules.raspberry-pi
          ./hosts/pi.nix
        ];
      };

      # `nix run . -- hosts`, `nix run . -- flash pi`
      packages = eachSystem (system: {
        default = xtask.packages.${system}.default;
      });
    };
}
