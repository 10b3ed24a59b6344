# NIXOS_SD grows to the end of the card at the first boot. The image is as small as its content.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.raspberryPi.storage) grow label;
in
{
  options.raspberryPi.storage.grow = lib.mkOption {
    type = lib.types.bool;
    default = true;
    description = "Whether each boot lets the partition and its file system fill the card.";
  };

  config.systemd.services.grow-nixos-sd = {
    enable = grow;
    description = "Let ${label} fill the SD card";
    wantedBy = [ "sysinit.target" ];
    # Until this service has run, NIXOS_SD has few free bytes and inodes.
    before = [
      "sysinit.target"
      "shutdown.target"
      "nix-daemon.socket"
      "nix-daemon.service"
    ];
    after = [ "local-fs.target" ];
    conflicts = [ "shutdown.target" ];
    unitConfig.DefaultDependencies = false;
    restartIfChanged = false;
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
    };
    path = [
      pkgs.coreutils
      pkgs.e2fsprogs
      pkgs.util-linux
    ];
    # The label finds the partition: / is a tmpfs here and has no device.
    script = ''
      exec ${pkgs.runtimeShell} ${./grow.sh} /dev/disk/by-label/${lib.escapeShellArg label}
    '';
  };
}
