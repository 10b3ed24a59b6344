# A Raspberry Pi: / in memory, everything else on one ext4 partition of the SD card.
{ inputs, modulesPath, ... }:
{
  imports = [
    # No documentation, no desktop parts: each package less is one less to copy onto the card.
    (modulesPath + "/profiles/minimal.nix")
    # The options for config.txt. The board profiles beside it would bring the kernel of the Raspberry Pi
    # foundation, which no public cache has and which lacks modules.
    (inputs.nixos-hardware + "/raspberry-pi/common")
    inputs.impermanence.nixosModules.impermanence
    ./boot.nix
    ./firmware.nix
    ./growth.nix
    ./persistence.nix
    ./sd-image
    ./storage.nix
  ];
}
