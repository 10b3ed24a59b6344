# Every host can build for AArch64, the processor of a Pi: another one runs its programs by emulation (QEMU). An AArch64
# host needs none, and NixOS refuses to emulate the system of the host itself.
{ lib, pkgs, ... }:
{
  boot.binfmt.emulatedSystems = lib.mkIf (pkgs.stdenv.hostPlatform.system != "aarch64-linux") [
    "aarch64-linux"
  ];
}
