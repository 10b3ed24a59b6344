# What outlives a boot: files and directories of / that are kept below /nix/persist.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.persistence;
  inherit (cfg) admin;
in
{
  options.raspberryPi.persistence = {
    path = lib.mkOption {
      type = lib.types.path;
      default = "/nix/persist";
      readOnly = true;
      description = "Where the persisted files are. What is put on the card by hand goes here.";
    };
    admin = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = config.common.admin or null;
      defaultText = lib.literalMD "the administrator of the host, in this repository's registry";
      example = "alice";
      description = "The user whose home folder is kept, and whose password is read from `PATH/etc/passwords/USER`.";
    };
    directories = lib.mkOption {
      type = lib.types.listOf lib.types.anything;
      default = [ ];
      example = lib.literalExpression ''[ "/var/lib/bluetooth" ]'';
      description = "More directories to keep, as {option}`environment.persistence` of impermanence takes them.";
    };
    files = lib.mkOption {
      type = lib.types.listOf lib.types.anything;
      default = [ ];
      example = [ "/etc/printer.conf" ];
      description = "More files to keep, as {option}`environment.persistence` of impermanence takes them.";
    };
  };

  config = {
    environment.persistence.${cfg.path} = {
      hideMounts = true;
      directories = [
        # Which user has which number: without it files change their owners when a user is added.
        "/var/lib/nixos"
        # The Pi has no clock that runs without power. It goes on from the time of the last run, or no
        # certificate is valid until the network has given the time.
        {
          directory = "/var/lib/systemd/timesync";
          user = "systemd-timesync";
          group = "systemd-timesync";
        }
        # When the weekly garbage collection last ran.
        "/var/lib/systemd/timers"
      ]
      ++ lib.optional (admin != null) {
        directory = "/home/${admin}";
        user = admin;
        group = "users";
        mode = "0700";
      }
      ++ cfg.directories;
      # Without it each boot is a first boot to systemd. It is never in an image: hosts would share it.
      files = [ "/etc/machine-id" ] ++ cfg.files;
    };

    # Not a bind: the keys are read at their real place, before anything is mounted and by sops or age too.
    # The image has none. `cargo xtask flash` puts one on the card, which is known before the host has booted; without it
    # the first boot makes one.
    services.openssh.hostKeys = [
      {
        path = "${cfg.path}/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];

    # Keys that are not in git, put on the card by hand.
    services.openssh.authorizedKeysFiles = [ "${cfg.path}/etc/ssh/authorized_keys.d/%u" ];
    # /etc/shadow is in memory, and a hash in the configuration would be readable by everyone.
    users.users = lib.mkIf (admin != null) {
      ${admin}.hashedPasswordFile = "${cfg.path}/etc/passwords/${admin}";
    };
  };
}
