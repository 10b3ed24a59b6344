# The command that writes the boot menu of a host: nixpkgs' program with its arguments, without `-c SYSTEM -d FOLDER`.
{
  lib,
  pkgs,
  config,
  modulesPath,
  # How many generations the menu has beside the default. With 0 the command reads no profile.
  generations,
}:
let
  writer = import (
    modulesPath + "/system/boot/loader/generic-extlinux-compatible/extlinux-conf-builder.nix"
  ) { inherit lib pkgs; };
  inherit (config.boot.loader) timeout generic-extlinux-compatible;
  deviceTree = config.hardware.deviceTree.name;
in
"${writer} -g ${toString generations} -t ${if timeout == null then "-1" else toString timeout}"
+ lib.optionalString (deviceTree != null) " -n ${deviceTree}"
+ lib.optionalString (!generic-extlinux-compatible.useGenerationDeviceTree) " -r"
