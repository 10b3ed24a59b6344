# The module of a Raspberry Pi for any flake: the modules of this repository, with those that they need of other flakes.
{ inputs }:
{
  _file = ./module.nix;
  imports = [
    # The options for config.txt. The board profiles beside it would bring the kernel of the Raspberry Pi
    # foundation, which no public cache has and which lacks modules.
    (inputs.nixos-hardware + "/raspberry-pi/common")
    inputs.impermanence.nixosModules.impermanence
    ../hosts/raspberry-pi/modules.nix
  ];
}
