# A Compute Module 5 with the kernel of the Raspberry Pi foundation, as docs/hosts.md has it.
{ inputs, pkgs, ... }:
{
  boot = {
    kernelPackages = pkgs.linuxPackagesFor (
      pkgs.callPackage (inputs.nixos-hardware + "/raspberry-pi/common/kernel.nix") { rpiVersion = 5; }
    );
    # This kernel lacks modules that only other machines need.
    initrd.allowMissingModules = true;
    # It takes the device tree of the firmware, and so the overlays of config.txt.
    loader.generic-extlinux-compatible.useGenerationDeviceTree = false;
  };
  # The USB ports of the board that carries the module.
  hardware.raspberry-pi.configtxt.deviceTreeOverlays.cm5 = [ { dwc2.dr_mode = "host"; } ];
}
