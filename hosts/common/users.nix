# The one user who looks after a host.
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
    # Passwords and keys are those of the configuration; a change made on the host does not last.
    users.mutableUsers = false;
    users.users.${cfg.admin} = {
      isNormalUser = true;
      extraGroups = [ "wheel" ];
      openssh.authorizedKeys.keyFiles = lib.optional (lib.pathExists key) key;
    };

    security.sudo = {
      # There is no password to ask for: who is in has a key.
      wheelNeedsPassword = false;
      # What sudo remembers of its first lecture may not survive a boot.
      extraConfig = "Defaults lecture = never";
    };
  };
}
