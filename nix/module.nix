# The module of a Raspberry Pi for any flake: the modules of this repository, with those that they need of other flakes.
{ inputs }:
{
  _file = ./module.nix;
  # Its overlays and parameters are for the kernel of the Raspberry Pi foundation. Without them, each overlay in
  # config.txt is one that the user asked for.
  disabledModules = [ (inputs.nixos-hardware + "/raspberry-pi/common/config-txt-defaults.nix") ];
  imports = [
    # The options for config.txt. The board profiles beside it would bring the kernel of the Raspberry Pi
    # foundation, which no public cache has and which lacks modules.
    (inputs.nixos-hardware + "/raspberry-pi/common/config-txt.nix")
    inputs.impermanence.nixosModules.impermanence
    ../hosts/raspberry-pi/modules.nix
  ];
}
