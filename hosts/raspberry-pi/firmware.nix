# The partition FIRMWARE: what the Pi reads before there is a kernel. One tree serves the Pi 3 and the Pi 4.
#
# No switch touches it. A FAT file system cannot replace a file in one step, so an update is done on
# purpose, by the command `update-firmware` on the Pi.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  boards = {
    pi3 = pkgs.ubootRaspberryPi3_64bit;
    pi4 = pkgs.ubootRaspberryPi4_64bit;
  };
  boot = "${pkgs.raspberrypifw}/share/raspberrypi/boot";

  # Made by the tools of `tools`, which need not be those of the Pi.
  treeBy =
    tools:
    tools.runCommand "raspberry-pi-firmware" { } ''
      mkdir -p "$out/overlays"
      cp ${boot}/bootcode.bin ${boot}/fixup*.dat ${boot}/start*.elf "$out"
      cp ${boot}/bcm2710-rpi-*.dtb ${boot}/bcm2711-rpi-*.dtb "$out"
      cp ${boot}/overlays/* "$out/overlays"
      cp ${pkgs.raspberrypi-armstubs}/armstub8-gic.bin "$out"
      cp ${config.hardware.raspberry-pi.configtxt.file} "$out/config.txt"
      ${lib.concatStrings (
        lib.mapAttrsToList (board: uboot: ''
          cp ${uboot}/u-boot.bin "$out/u-boot-${board}.bin"
        '') boards
      )}
    '';

  update = pkgs.writeShellScriptBin "update-firmware" ''
    set -eu
    target=/boot/firmware
    cd ${treeBy pkgs}
    # Mounted on demand.
    ls "$target" >/dev/null
    ${lib.getExe' pkgs.util-linux "mountpoint"} -q "$target"
    find . -type d -exec mkdir -p "$target/{}" \;
    find . -type f | while read -r file; do
      cmp -s "$file" "$target/$file" && continue
      cp "$file" "$target/$file.new"
      sync -f "$target"
      mv "$target/$file.new" "$target/$file"
      echo "updated $file"
    done
    sync -f "$target"
  '';
in
{
  options.raspberryPi.firmware = {
    sizeMiB = lib.mkOption {
      # 34 is the least that is FAT32.
      type = lib.types.ints.between 34 2048;
      default = 256;
      description = "The size of the partition FIRMWARE in MiB. It cannot grow later.";
    };
    treeBy = lib.mkOption {
      type = lib.types.functionTo lib.types.package;
      default = treeBy;
      defaultText = lib.literalMD "GPU firmware, device trees, U-Boot and config.txt";
      description = "The content of FIRMWARE, made by the package set that is given.";
    };
  };

  config = {
    fileSystems."/boot/firmware" = {
      device = "/dev/disk/by-label/FIRMWARE";
      fsType = "vfat";
      # Mounted while it is looked at: a power cut then finds no half-written FAT.
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
        # The firmware's drawings over the console confuse the mainline kernel.
        avoid_warnings = true;
      };
      pi3 = {
        kernel = "u-boot-pi3.bin";
        # The clock of the serial port follows it; without, U-Boot's console is noise.
        core_freq = 250;
      };
      # The Pi Zero 2 W is a Pi 3 to U-Boot.
      pi02.kernel = "u-boot-pi3.bin";
      pi4 = {
        kernel = "u-boot-pi4.bin";
        enable_gic = true;
        armstub = "armstub8-gic.bin";
      };
    };
    # An overlay for the foundation's graphics driver; the kernel's own device tree has no use for it.
    hardware.raspberry-pi.configtxt.deviceTreeOverlays = lib.mkForce { };

    # Wi-Fi and Bluetooth; the whole of linux-firmware is many times as large.
    hardware.firmware = [ pkgs.raspberrypiWirelessFirmware ];
  };
}
