# The modules of a Raspberry Pi, without those of other flakes: see nix/module.nix.
{ modulesPath, ... }:
{
  imports = [
    # No documentation, no desktop parts: fewer packages to copy to the card.
    (modulesPath + "/profiles/minimal.nix")
    ../common/logins.nix
    ./backup.nix
    ./boards.nix
    ./boot.nix
    ./config-txt.nix
    ./device-trees.nix
    ./firmware.nix
    ./growth.nix
    ./overlays.nix
    ./persistence.nix
    ./sd-image
    ./storage.nix
    ./trial
    ./wifi.nix
  ];
}
