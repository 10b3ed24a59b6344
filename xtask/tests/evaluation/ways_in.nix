# Variants of the host `second`: their warnings, and what the tool finds of logins and Wi-Fi.
{
  nixpkgs,
  second,
  complaints,
}:
let
  inherit (nixpkgs.lib) mkForce;
  layoutOf =
    import ../../src/nix/flake/layout.nix (import ../../src/nix/flake/logins.nix)
      (import ../../src/nix/flake/wifi.nix)
      (import ../../src/nix/flake/values.nix);
  factsOf =
    module:
    let
      inherit (second.extendModules { modules = [ module ]; }) config;
      layout = layoutOf config;
    in
    complaints config
    // {
      inherit (layout) logins wifi;
      iwd = builtins.filter (nixpkgs.lib.hasInfix "iwd") (
        map (moved: "${moved.path} ${moved.source}") layout.moved
      );
    };
  noWireless.networking.wireless = {
    enable = mkForce false;
    networks = mkForce { };
  };
in
builtins.mapAttrs (_: factsOf) {
  blank = { };
  key.users.users.somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
  keyFile.users.users.somebody.openssh.authorizedKeys.keyFiles = [
    (builtins.toFile "key.pub" "ssh-ed25519 AAAA file\n")
  ];
  comment.users.users.somebody.openssh.authorizedKeys.keys = [ "# none" ];
  garbage.users.users.somebody.openssh.authorizedKeys.keys = [ "/home/me/.ssh/id_ed25519.pub" ];
  options.users.users.somebody.openssh.authorizedKeys.keys = [
    "restrict,pty sk-ssh-ed25519@openssh.com AAAA me"
  ];
  # Nobody logs in as root, but the key is in the store.
  privateKeyOfRoot.users.users = {
    somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
    root.openssh.authorizedKeys.keys = [ "PuTTY-User-Key-File-3: ssh-ed25519" ];
  };
  privateKey.users.users.somebody.openssh.authorizedKeys.keyFiles = [
    (builtins.toFile "id" "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA\n-----END OPENSSH PRIVATE KEY-----\n")
  ];
  denied = {
    users.users.somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
    services.openssh.settings.AllowUsers = [ "other" ];
  };
  root = {
    users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA root" ];
    services.openssh.settings.PermitRootLogin = mkForce "prohibit-password";
  };
  deniedRoot.users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA root" ];
  password = {
    services.openssh.settings.PasswordAuthentication = mkForce true;
    users.users.guest = {
      isNormalUser = true;
      initialPassword = "x";
    };
  };
  noSshd.services.openssh.enable = mkForce false;
  meant.users.allowNoPasswordLogin = true;
  iwd = {
    imports = [ noWireless ];
    raspberryPi.wifi = {
      enable = true;
      country = "DE";
    };
  };
  networkManager = {
    imports = [ noWireless ];
    networking.networkmanager.enable = true;
  };
  noWifi = noWireless;
  unreadable.systemd.tmpfiles.rules = mkForce [ ];
}
