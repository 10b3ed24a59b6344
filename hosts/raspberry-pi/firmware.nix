# The partition FIRMWARE: the files that the Pi reads before the kernel starts. One tree serves the Pi 3 and the Pi 4.
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
  boards = {
    pi3 = pkgs.ubootRaspberryPi3_64bit;
    pi4 = pkgs.ubootRaspberryPi4_64bit;
  };
  boot = "${pkgs.raspberrypifw}/share/raspberrypi/boot";

  # The package set `tools` makes the tree. It may be that of a workstation: only `pkgs` has programs for the Pi.
  treeBy =
    tools:
    tools.runCommand "raspberry-pi-firmware" { } ''
      mkdir -p "$out/overlays"
      cp ${boot}/bootcode.bin ${boot}/fixup*.dat ${boot}/start*.elf "$out"
      cp ${boot}/bcm2710-rpi-*.dtb ${boot}/bcm2711-rpi-*.dtb "$out"
      cp ${boot}/overlays/* "$out/overlays"
      cp ${pkgs.raspberrypi-armstubs}/armstub8-gic.bin "$out"
      cp ${config.hardware.raspberry-pi.configtxt.file} "$out/config.txt"
      ${lib.optionalString trial.enable ''
        cp ${trial.filesWith tools}/boot.scr "$out/boot.scr"
        cp ${trial.filesWith tools}/no-trial.env "$out/trial.env"
      ''}
      ${lib.concatStrings (
        lib.mapAttrsToList (board: uboot: ''
          cp ${uboot}/u-boot.bin "$out/u-boot-${board}.bin"
        '') boards
      )}
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

    hardware.raspberry-pi.configtxt.settings = {
      all = {
        arm_64bit = true;
        # The firmware would draw warnings over the console, and the drawing disturbs the mainline kernel.
        avoid_warnings = true;
      };
      pi3 = {
        kernel = "u-boot-pi3.bin";
        # The clock of the serial port follows this clock; at another frequency, U-Boot's console is noise.
        core_freq = 250;
      };
      # U-Boot treats the Pi Zero 2 W as a Pi 3.
      pi02.kernel = "u-boot-pi3.bin";
      pi4 = {
        kernel = "u-boot-pi4.bin";
        enable_gic = true;
        armstub = "armstub8-gic.bin";
      };
    };
    # The default overlay is for the foundation's graphics driver; the mainline device tree does not use it.
    hardware.raspberry-pi.configtxt.deviceTreeOverlays = lib.mkForce { };

    # Wi-Fi and Bluetooth; the whole of linux-firmware is many times as large.
    hardware.firmware = [ pkgs.raspberrypiWirelessFirmware ];
  };
}
