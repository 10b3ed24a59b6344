# What a Raspberry Pi is made of, but for the modules of other flakes: see nix/module.nix.
{ modulesPath, ... }:
{
  imports = [
    # No documentation, no desktop parts: each package less is one less to copy onto the card.
    (modulesPath + "/profiles/minimal.nix")
    ./boot.nix
    ./firmware.nix
    ./growth.nix
    ./persistence.nix
    ./sd-image
    ./storage.nix
  ];
}
