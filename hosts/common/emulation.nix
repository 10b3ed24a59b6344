# Every host can build for AArch64. An AArch64 host needs no emulation for that, and NixOS refuses to emulate the
# system of the host itself.
{ lib, pkgs, ... }:
{
  boot.binfmt.emulatedSystems = lib.mkIf (pkgs.stdenv.hostPlatform.system != "aarch64-linux") [
    "aarch64-linux"
  ];
}
