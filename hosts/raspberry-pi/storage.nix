# Where things live: / is a tmpfs that each boot begins anew, /nix is the partition NIXOS_SD.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.storage;
in
{
  options.raspberryPi.storage = {
    rootSize = lib.mkOption {
      type = lib.types.str;
      default = "2G";
      example = "512M";
      description = ''
        The most that files on / may take of the memory. It is a limit, nothing is set aside; a Pi with
        1 GB of memory does well with less.
      '';
    };
    label = lib.mkOption {
      type = lib.types.str;
      default = "NIXOS_SD";
      readOnly = true;
      description = "The label of the partition that is mounted at /nix. The assembler writes this one.";
    };
  };

  config = {
    fileSystems = {
      "/" = {
        device = "none";
        fsType = "tmpfs";
        options = [
          "size=${cfg.rootSize}"
          # Without it / is writable for everyone.
          "mode=755"
        ];
      };
      "/nix" = {
        device = "/dev/disk/by-label/${cfg.label}";
        fsType = "ext4";
        # The store holds init itself, and the persisted files are needed before the services.
        neededForBoot = true;
        # Reading must not write to the card.
        options = [ "noatime" ];
      };
    };

    # A tmpfs takes memory away from the programs; compressed swap gives some of it back.
    zramSwap.enable = true;

    # The journal would fill / from below; it is kept in memory, within limits.
    services.journald = {
      storage = "volatile";
      extraConfig = "RuntimeMaxUse=64M";
    };

    # Nix unpacks downloads in TMPDIR, and before 2.30 builds there too: that would be in the memory.
    nix.settings.build-dir = "/nix/tmp";
    systemd.services.nix-daemon.environment.TMPDIR = "/nix/tmp";
    # D: emptied, as a power cut leaves half a build behind. !: at boot alone, not under a build at a switch.
    systemd.tmpfiles.rules = [ "D! /nix/tmp 0755 root root -" ];
  };
}
