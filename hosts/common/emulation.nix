# Every host can build for AArch64, which those of that system do as they are: NixOS refuses to emulate the
# system a host already has.
{ lib, pkgs, ... }:
{
  boot.binfmt.emulatedSystems = lib.mkIf (pkgs.stdenv.hostPlatform.system != "aarch64-linux") [
    "aarch64-linux"
  ];
}
