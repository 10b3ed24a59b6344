# How the Pi starts: its firmware, then U-Boot, then what extlinux.conf on NIXOS_SD says.
{ lib, ... }:
{
  boot = {
    loader = {
      grub.enable = lib.mkDefault false;
      generic-extlinux-compatible = {
        enable = true;
        # /boot is in memory: what a switch writes there is gone at the next boot, which then starts the
        # flashed generation again. U-Boot reads boot/ of NIXOS_SD, which is mounted at /nix.
        mirroredBoots = [ { path = "/nix/boot"; } ];
        # Each generation has its kernel and initrd there, and the default of 20 fills a card.
        configurationLimit = lib.mkDefault 4;
        # U-Boot takes the device tree of the kernel, not that of the firmware, which describes the
        # foundation's kernel.
        useGenerationDeviceTree = true;
      };
    };

    initrd = {
      # The persisted files and the growth of the card depend on the order that systemd gives.
      systemd.enable = true;
      availableKernelModules = [
        "ext4"
        # The SD card, on either of the controllers it can be wired to.
        "bcm2835"
        "sdhci-iproc"
        # The board `virt` of QEMU, on which the card can be tried.
        "virtio_blk"
        "virtio_pci"
        # USB on the Pi 4 is behind PCI Express, and its controller loads firmware through the second.
        "pcie-brcmstb"
        "reset-raspberrypi"
      ];
    };
    kernelParams = [
      "console=ttyS0,115200n8"
      "console=ttyAMA0,115200n8"
      "console=tty0"
    ];
  };

  # The trees of all boards of the world would be copied for each generation.
  hardware.deviceTree.filter = lib.mkDefault "bcm2[78]*-rpi-*.dtb";
}
