# Persistent state: the files and directories of / that are kept below /nix/persist. Impermanence, a module of the flake
# input of that name, mounts each at its place when the host boots.
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
      description = "The folder of the persisted files. Files that are put on the card by hand go here.";
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
        # The numbers of the users: if they are lost, files change their owners when a user is added.
        "/var/lib/nixos"
        # The Pi has no clock that runs without power. It continues from the time of the last run; otherwise no
        # certificate is valid until the network provides the time.
        {
          directory = "/var/lib/systemd/timesync";
          user = "systemd-timesync";
          group = "systemd-timesync";
        }
        # The time of the last weekly garbage collection.
        "/var/lib/systemd/timers"
      ]
      ++ lib.optional (admin != null) {
        directory = "/home/${admin}";
        user = admin;
        group = "users";
        mode = "0700";
      }
      ++ cfg.directories;
      # Without a machine-id, systemd takes each boot for a first boot. No image has one: hosts would share it.
      files = [ "/etc/machine-id" ] ++ cfg.files;
    };

    # The key has no bind mount: sshd, and sops or age, read the key at its real place, before anything is mounted. The
    # image has no key. `cargo xtask flash` writes a key to the card, so that the workstation knows the key before the
    # host boots; otherwise the first boot makes one.
    services.openssh.hostKeys = [
      {
        path = "${cfg.path}/etc/ssh/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];

    # Login keys that are not in git, put on the card by hand, by `flash --ssh-key` or by `flash --files`.
    services.openssh.authorizedKeysFiles = [ "${cfg.path}/etc/ssh/authorized_keys.d/%u" ];
    # /etc/shadow is in memory, and a hash in the configuration would be readable by everyone.
    users.users = lib.mkIf (admin != null) {
      ${admin}.hashedPasswordFile = "${cfg.path}/etc/passwords/${admin}";
    };
  };
}
