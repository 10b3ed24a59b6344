# A host that backs its state up, as docs/restore.md has it.
{
  stinky,
  complaints,
  pi,
}:
let
  saved = stinky.extendModules {
    modules = [
      {
        raspberryPi.backup = {
          enable = true;
          repository = "sftp:backup@nas.lan:/backups/pis";
          exclude = [ "/nix/persist/var/lib/octoprint/timelapse" ];
        };
      }
    ];
  };
  both = saved.extendModules {
    modules = [ { raspberryPi.backup.repositoryFile = "/nix/persist/etc/restic/repository"; } ];
  };
  inherit (saved) config;
  unit = config.systemd.services.restic-backups-state;
in
complaints config
// {
  command = builtins.unsafeDiscardStringContext (toString unit.serviceConfig.ExecStart);
  environment = {
    inherit (unit.environment) RESTIC_CACHE_DIR RESTIC_PASSWORD_FILE RESTIC_REPOSITORY;
  };
  timer = config.systemd.timers.restic-backups-state.timerConfig;
  persisted = (pi config).persisted.directories;
  exclude = config.services.restic.backups.state.exclude;
  toplevel = config.system.build.toplevel.drvPath;
  failedWithBoth = (complaints both.config).failed;
}
