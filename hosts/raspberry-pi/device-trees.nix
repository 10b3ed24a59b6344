# The device trees of the kernel that are copied to the card for each generation. U-Boot takes the one of the board.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.raspberryPi.boot;
  ofKernel = "${config.hardware.deviceTree.kernelPackage}/dtbs";
in
{
  options.raspberryPi.boot.deviceTrees = lib.mkOption {
    type = lib.types.str;
    default = "bcm2[78]*-rpi-*.dtb";
    description = "The device trees of the kernel that are copied to the card, as a pattern of file names.";
  };

  config.hardware.deviceTree = {
    # Without this filter, the device trees of all boards would be copied for each generation.
    filter = cfg.deviceTrees;
    # U-Boot asks for a device tree of the Pi 500, which the mainline kernel does not have. The foundation's is that of
    # a Pi 5 with the later revision of its chip, and other names of pins.
    dtbSource = lib.mkDefault (
      pkgs.runCommand "device-trees" { } ''
        mkdir -p "$out/broadcom"
        cp --no-preserve=mode ${ofKernel}/broadcom/bcm2*-rpi-*.dtb "$out/broadcom"
        cd "$out/broadcom"
        [ -e bcm2712-rpi-500.dtb ] || [ ! -e bcm2712-d-rpi-5-b.dtb ] || cp bcm2712-d-rpi-5-b.dtb bcm2712-rpi-500.dtb
      ''
    );
  };
}
