# How the Pi starts: its firmware, then U-Boot, then the entry that extlinux.conf on NIXOS_SD selects.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.boot;
in
{
  options.raspberryPi.boot = {
    generations = lib.mkOption {
      type = lib.types.ints.between 2 20;
      default = 4;
      description = "How many generations the boot menu lists. The kernel and the initrd of each are on the card.";
    };
    deviceTrees = lib.mkOption {
      type = lib.types.str;
      default = "bcm2[78]*-rpi-*.dtb";
      description = "The device trees of the kernel that are copied to the card, as a pattern of file names.";
    };
  };

  config.boot = {
    loader = {
      grub.enable = lib.mkDefault false;
      generic-extlinux-compatible = {
        enable = true;
        # /boot is in memory: the files that a switch writes there are gone at the next boot, which then starts
        # the flashed generation again. U-Boot reads boot/ of NIXOS_SD, which is mounted at /nix.
        mirroredBoots = [ { path = "/nix/boot"; } ];
        # The kernel and the initrd of each generation are in that folder, and the default of 20 would fill a card.
        configurationLimit = cfg.generations;
        # U-Boot takes the device tree of the mainline kernel. That of the firmware is for the kernel of the
        # Raspberry Pi foundation.
        useGenerationDeviceTree = true;
      };
    };

    initrd = {
      # The persisted files and the growth of the card depend on the order in which systemd starts units.
      systemd.enable = true;
      availableKernelModules = [
        "ext4"
        # The SD card, on either of the controllers it can be wired to.
        "bcm2835"
        "sdhci-iproc"
        # The board `virt` of QEMU, on which the card can be tried.
        "virtio_blk"
        "virtio_pci"
        # USB on the Pi 4 is behind PCI Express; its controller loads firmware through `reset-raspberrypi`.
        "pcie-brcmstb"
        "reset-raspberrypi"
        "usb-storage"
        # A keyboard and a screen.
        "usbhid"
        "vc4"
      ];
    };
    kernelParams = [
      "console=ttyS0,115200n8"
      "console=ttyAMA0,115200n8"
      "console=tty0"
    ];
  };

  # Without this filter, the device trees of all boards would be copied for each generation.
  config.hardware.deviceTree.filter = cfg.deviceTrees;
}
