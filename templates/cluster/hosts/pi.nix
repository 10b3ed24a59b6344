# The host `pi`: its name, its user, how it gets onto the network, and what it does.
{
  networking.hostName = "pi";

  # Your user, with your public ssh key: the only way in.
  users.users.admin = {
    isNormalUser = true;
    extraGroups = [ "wheel" ];
    openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA… you@workstation" ];
  };
  users.mutableUsers = false;
  raspberryPi.persistence.admin = "admin";
  security.sudo.wheelNeedsPassword = false;
  services.openssh = {
    enable = true;
    settings.PasswordAuthentication = false;
  };

  # Deployments copy store paths that no cache has signed.
  nix.settings.trusted-users = [ "@wheel" ];

  # The release of the first installation; it is never raised.
  system.stateVersion = "26.05";
}
