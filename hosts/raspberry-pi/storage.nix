# The file systems: / is a tmpfs, empty at each boot, and /nix is the partition NIXOS_SD.
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
        The most memory that files on / may take. No memory is set aside for them; a Pi with 1 GB of memory
        needs a lower limit.
      '';
    };
    label = lib.mkOption {
      type = lib.types.str;
      default = "NIXOS_SD";
      readOnly = true;
      description = "The label of the partition that is mounted at /nix. The assembler writes this label.";
    };
  };

  config = {
    fileSystems = {
      "/" = {
        device = "none";
        fsType = "tmpfs";
        options = [
          "size=${cfg.rootSize}"
          # Without this mode, everyone can write to /.
          "mode=755"
        ];
      };
      "/nix" = {
        device = "/dev/disk/by-label/${cfg.label}";
        fsType = "ext4";
        # The store has init, and services need the persisted files.
        neededForBoot = true;
        # Reads must not cause writes to the card.
        options = [ "noatime" ];
      };
    };

    # A tmpfs takes memory away from the programs; compressed swap gives some of it back.
    zramSwap.enable = true;

    # On / the journal would take memory without a limit; here it has one.
    services.journald = {
      storage = "volatile";
      extraConfig = "RuntimeMaxUse=64M";
    };

    # Nix unpacks downloads in TMPDIR, and before 2.30 builds there too: in /tmp that would take memory.
    nix.settings.build-dir = "/nix/tmp";
    systemd.services.nix-daemon.environment.TMPDIR = "/nix/tmp";
    # `D` empties the folder, in which a power cut leaves half a build. `!` does so only at boot: during a switch, a
    # build may run.
    systemd.tmpfiles.rules = [ "D! /nix/tmp 0755 root root -" ];
  };
}
