# A warning of a host that nobody can log in to: without a screen and a keyboard, such a host is lost once it is on the
# wall. And a failure where a private key stands in the place of a public one.
{ config, lib, ... }:
let
  inherit (config.networking) hostName;
  logins =
    import ../../xtask/src/nix/flake/logins.nix (import ../../xtask/src/nix/flake/values.nix)
      config;

  normal = lib.attrNames (lib.filterAttrs (_: user: user.isNormalUser) config.users.users);
  admin = config.common.admin or (if normal == [ ] then "root" else lib.head normal);
  remedy =
    if !logins.is_enabled then
      "set services.openssh.enable"
    else
      "put your public ssh key into "
      + lib.optionalString (config ? common.admin) "hosts/common/keys/${admin}.pub or into "
      + "users.users.${admin}.openssh.authorizedKeys.keys";
in
{
  assertions = map (user: {
    assertion = false;
    message =
      "a login key of ${user} is a private key, which the Nix store and git now have: make a new one with "
      + "`ssh-keygen`, and put the public key, the file that ends in .pub, in its place";
  }) logins.with_private_key;

  # An option of NixOS says that this is meant: each card may get a key by `flash --ssh-key`.
  warnings = lib.optional (!config.users.allowNoPasswordLogin && !logins.is_open) (
    "nobody can log in to ${hostName}, which has "
    + (if logins.is_enabled then "neither a login key nor a password for ssh" else "no sshd")
    + ": ${remedy}; or set users.allowNoPasswordLogin, if each card gets a key by `flash --ssh-key`"
  );
}
