# How the Pi starts: its firmware, then U-Boot, then the entry that extlinux.conf on NIXOS_SD selects. That file is the
# boot menu: an entry names the kernel, the initrd and the device trees of one generation.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.boot;
  inherit (config.boot.kernelPackages) kernel;
  # The chip RP1 of a Pi 5 has its USB and its Ethernet. The mainline kernel drives them since 6.18.
  rp1Modules = lib.optionals (kernel.pname == "linux" && lib.versionAtLeast kernel.version "6.18") (
    [
      "clk-rp1"
      "pinctrl-rp1"
      "rp1_pci"
    ]
    ++ lib.optional config.boot.initrd.network.enable "macb"
  );
in
{
  options.raspberryPi.boot = {
    generations = lib.mkOption {
      type = lib.types.ints.between 2 20;
      default = 4;
      description = "How many generations the boot menu lists. The kernel and the initrd of each are on the card.";
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
        useGenerationDeviceTree = lib.mkDefault true;
      };
    };

    initrd = {
      # The persisted files and the growth of the card depend on the order in which systemd starts units.
      systemd.enable = true;
      availableKernelModules = [
        "ext4"
        # The SD card: on either of the controllers that it can be wired to, and on that of a Pi 5.
        "bcm2835"
        "sdhci-iproc"
        "sdhci-brcmstb"
        # The board `virt` of QEMU, on which the card can be tried.
        "virtio_blk"
        "virtio_pci"
        # USB on the Pi 4 and the Pi 5 is behind PCI Express; the controller of the Pi 4 loads firmware through
        # `reset-raspberrypi`.
        "pcie-brcmstb"
        "reset-raspberrypi"
        "usb-storage"
        # A keyboard and a screen.
        "usbhid"
        "vc4"
      ]
      ++ rp1Modules;
    };
    kernelParams = [
      "console=ttyS0,115200n8"
      "console=ttyAMA0,115200n8"
      # The port for debugging of a Pi 5.
      "console=ttyAMA10,115200n8"
      "console=tty0"
    ];
  };
}
