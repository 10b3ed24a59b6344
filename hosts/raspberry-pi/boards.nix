# The boards that a host has to boot, and what the mainline kernel and U-Boot know of each. Evaluation fails before a
# card is written that such a board would not boot.
{ config, lib, ... }:
let
  inherit (config.raspberryPi) boards;
  inherit (config.raspberryPi.firmware) uboot;
  inherit (config.boot.kernelPackages) kernel;
  # The kernel of the Raspberry Pi foundation has device trees and drivers for all boards of its time.
  isFoundations = lib.hasPrefix "linux-rpi" kernel.pname;

  # Why this host would not boot a board, where that is known.
  faults =
    let
      kernelFault = lib.optional (
        !isFoundations && lib.versionOlder kernel.version "6.18"
      ) "Linux has its Ethernet and USB since 6.18, and boot.kernelPackages has ${kernel.version}";
      ubootFault = lib.optional (lib.versionOlder uboot.version "2026.04") "U-Boot knows its revisions since 2026.04, and raspberryPi.firmware.uboot is ${uboot.version}";
    in
    {
      pi5 = kernelFault ++ ubootFault;
      pi500 = kernelFault ++ ubootFault;
      cm5 = lib.optional (!isFoundations) (
        "mainline Linux has no device tree for it; docs/pi-5.md shows a host with the kernel of the Raspberry Pi "
        + "foundation"
      );
    };
in
{
  options.raspberryPi.boards = lib.mkOption {
    type = lib.types.listOf (
      lib.types.enum [
        "pi3"
        "pi02"
        "pi4"
        "pi400"
        "cm4"
        "pi5"
        "pi500"
        "cm5"
      ]
    );
    default = [ ];
    example = [ "pi5" ];
    description = ''
      The boards that this host has to boot, by the names of their sections in config.txt. Evaluation fails where the
      kernel or U-Boot is known not to boot one of them. Without boards, nothing is checked.
    '';
  };

  config.assertions = lib.concatMap (
    board:
    map (fault: {
      assertion = false;
      message = "raspberryPi.boards has ${board}: ${fault}.";
    }) (faults.${board} or [ ])
  ) boards;
}
