# A Raspberry Pi of this repository: / in memory, everything else on one ext4 partition of the SD card, NIXOS_SD.
#
# Words of these files: a generation is a system that was deployed, with a number; a switch makes a generation the
# running system, as a deploy does; FIRMWARE is the FAT partition that the Pi itself reads; U-Boot is the program that
# the Pi starts from there, and that starts Linux. A host sets options of these modules, which docs/hosts.md lists, and
# edits none of the files.
{ inputs, ... }:
{
  imports = [ (import ../../nix/module.nix { inherit inputs; }) ];
}
