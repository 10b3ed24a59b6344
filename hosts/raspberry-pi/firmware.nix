# The partition FIRMWARE: the files that the Pi reads before the kernel starts. One tree serves all boards.
#
# No switch changes FIRMWARE, because a FAT file system cannot replace a file in one step. The command
# `update-firmware` on the Pi updates it on request.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.raspberryPi) trial;
  inherit (config.raspberryPi.firmware) uboot;
  boot = "${pkgs.raspberrypifw}/share/raspberrypi/boot";

  # The package set `tools` makes the tree. It may be that of a workstation: only `pkgs` has programs for the Pi.
  treeBy =
    tools:
    tools.runCommand "raspberry-pi-firmware" { } ''
      mkdir -p "$out/overlays"
      cp ${boot}/bootcode.bin ${boot}/fixup*.dat ${boot}/start*.elf "$out"
      cp ${boot}/bcm2710-rpi-*.dtb ${boot}/bcm2711-rpi-*.dtb ${boot}/bcm2712*-rpi-*.dtb "$out"
      cp ${boot}/overlays/* "$out/overlays"
      cp ${pkgs.raspberrypi-armstubs}/armstub8-gic.bin "$out"
      cp ${uboot}/u-boot.bin "$out"
      cp ${config.hardware.raspberry-pi.configtxt.file} "$out/config.txt"
      ${lib.optionalString trial.enable ''
        cp ${trial.filesWith tools}/boot.scr "$out/boot.scr"
        cp ${trial.filesWith tools}/no-trial.env "$out/trial.env"
      ''}
    '';

  update = pkgs.writeShellScriptBin "update-firmware" ''
    export PATH=${
      lib.makeBinPath [
        pkgs.coreutils
        pkgs.diffutils
        pkgs.findutils
        pkgs.util-linux
      ]
    }:$PATH
    export target=/boot/firmware
    export tree=${treeBy pkgs}
    export fat=${./trial/fat.sh}
    export then="${lib.optionalString trial.enable "boot-trial prepare-firmware"}"
    exec ${pkgs.runtimeShell} ${./update-firmware.sh} "$@"
  '';
in
{
  options.raspberryPi.firmware = {
    sizeMiB = lib.mkOption {
      # A FAT32 has at least 34 MiB.
      type = lib.types.ints.between 34 2048;
      default = 256;
      description = "The size of the partition FIRMWARE in MiB. It cannot grow later.";
    };
    uboot = lib.mkOption {
      type = lib.types.package;
      default = pkgs.ubootRaspberryPiAarch64;
      defaultText = lib.literalExpression "pkgs.ubootRaspberryPiAarch64";
      description = "The package with {file}`u-boot.bin`, which the firmware of every board starts.";
    };
    treeBy = lib.mkOption {
      type = lib.types.functionTo lib.types.package;
      default = treeBy;
      defaultText = lib.literalMD "GPU firmware, device trees, U-Boot and config.txt";
      description = "The function that makes the content of FIRMWARE with the package set that it gets.";
    };
  };

  config = {
    fileSystems."/boot/firmware" = {
      device = "/dev/disk/by-label/FIRMWARE";
      fsType = "vfat";
      # Mounted only while programs use it, so that a power cut seldom finds a half-written FAT.
      options = [
        "noauto"
        "nofail"
        "umask=0077"
        "x-systemd.automount"
        "x-systemd.idle-timeout=60"
      ];
    };

    environment.systemPackages = [ update ];

    # Wi-Fi and Bluetooth; the whole of linux-firmware is many times as large.
    hardware.firmware = [ pkgs.raspberrypiWirelessFirmware ];
  };
}
