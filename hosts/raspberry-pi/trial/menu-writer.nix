# nixpkgs' program that writes boot menus, with the arguments of a host, but for `-c SYSTEM -d FOLDER`.
{
  lib,
  pkgs,
  config,
  modulesPath,
  # How many generations beside the default the menu has. With 0 no profile is read.
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
