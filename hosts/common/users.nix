# The administrator, the only user of a host who can log in. docs/administrator.md shows how to change the user or the
# keys, and how to add a second person.
{ config, lib, ... }:
let
  cfg = config.common;
  key = ./keys + "/${cfg.admin}.pub";
in
{
  options.common.admin = lib.mkOption {
    type = lib.types.str;
    example = "ppetru";
    description = ''
      The user who administers the host and deploys to it. The keys of this user come from
      {file}`hosts/common/keys/USER.pub`, where that file exists.
    '';
  };

  config = {
    # Passwords and keys come from the configuration; changes made on the host do not last.
    users.mutableUsers = false;
    users.users.${cfg.admin} = {
      isNormalUser = true;
      extraGroups = [ "wheel" ];
      openssh.authorizedKeys.keyFiles = lib.optional (lib.pathExists key) key;
    };

    security.sudo = {
      # sudo asks for no password: a user who is logged in has a key.
      wheelNeedsPassword = false;
      # The record that the lecture was shown does not survive a boot.
      extraConfig = "Defaults lecture = never";
    };
  };
}
