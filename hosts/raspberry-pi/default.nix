# A Raspberry Pi of this repository: / in memory, everything else on one ext4 partition of the SD card.
{ inputs, ... }:
{
  imports = [ (import ../../nix/module.nix { inherit inputs; }) ];
}
