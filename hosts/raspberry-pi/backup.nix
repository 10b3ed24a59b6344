# Backups of the persisted state with restic, for `cargo xtask restore HOST --state restic:REPOSITORY`.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.backup;
  name = "state";
  cacheDir = "/var/cache/restic-backups-${name}";
  persisted = config.raspberryPi.persistence.path;
in
{
  options.raspberryPi.backup = {
    enable = lib.mkEnableOption "backups of the persisted state with restic";
    repository = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "sftp:backup@nas.lan:/backups/pis";
      description = "The repository, without logins: every user of the host can read it.";
    };
    repositoryFile = lib.mkOption {
      type = lib.types.nullOr lib.types.path;
      default = null;
      description = "A file on the host with the repository, instead of {option}`repository`.";
    };
    passwordFile = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = "${persisted}/etc/restic/password";
      defaultText = lib.literalExpression ''"''${config.raspberryPi.persistence.path}/etc/restic/password"'';
      description = ''
        A file on the host with the password of the repository, owned by root with mode 0600. Keep a copy elsewhere:
        without it nobody reads the backup of a host whose card died.
      '';
    };
    environmentFile = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      example = "/nix/persist/etc/restic/environment";
      description = "A file on the host with the logins of the repository, such as `AWS_ACCESS_KEY_ID=…`.";
    };
    paths = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ persisted ];
      defaultText = lib.literalExpression "[ config.raspberryPi.persistence.path ]";
      description = "What is backed up. A card gets back what is below the persisted folder.";
    };
    exclude = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "/nix/persist/var/lib/octoprint/timelapse" ];
      description = "What is not backed up, beside the host key and the cache of restic.";
    };
    timer = lib.mkOption {
      type = lib.types.nullOr (lib.types.attrsOf lib.types.anything);
      default = {
        OnCalendar = "daily";
        RandomizedDelaySec = "1h";
        Persistent = true;
      };
      description = "When backups run, as {manpage}`systemd.timer(5)` takes it; null for none but those by hand.";
    };
    keepCache = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether restic keeps its cache on the card. Without it, each backup reads the index of the repository from the
        network, and nothing is cached in memory, where / is.
      '';
    };
    prune = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [
        "--keep-daily 7"
        "--keep-weekly 5"
      ];
      description = ''
        Which snapshots to keep after each backup, as `restic forget` takes it. By default all are kept: `forget` would
        also apply to the snapshots of other hosts in the same repository.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = (cfg.repository == null) != (cfg.repositoryFile == null);
        message = "raspberryPi.backup: set either `repository` or `repositoryFile`";
      }
    ];
    services.restic.backups.${name} = {
      inherit (cfg)
        repository
        repositoryFile
        passwordFile
        environmentFile
        paths
        ;
      initialize = true;
      timerConfig = cfg.timer;
      pruneOpts = cfg.prune;
      # The identity of the host is on the workstation, which gives it to each card.
      exclude = [
        "${persisted}/etc/ssh/ssh_host_*_key"
        "${persisted}${cacheDir}"
      ]
      ++ cfg.exclude;
      extraBackupArgs = [
        # `restore` finds the snapshots of a host by its name.
        "--host ${config.networking.hostName}"
      ]
      ++ lib.optional (!cfg.keepCache) "--no-cache";
    };
    raspberryPi.persistence.directories = lib.optional cfg.keepCache {
      directory = cacheDir;
      mode = "0700";
    };
  };
}
