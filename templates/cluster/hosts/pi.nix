# The host `pi`: its name, its user, how it gets onto the network, and what it does.
{ config, ... }:
{
  networking.hostName = "pi";

  # The board, such as [ "pi5" ]. Evaluation fails where kernel or U-Boot are known not to boot it.
  raspberryPi.boards = [ ];

  # Your user, with your public ssh key: the only way in. TO FILL IN, such as with the line of ~/.ssh/id_ed25519.pub.
  users.users.admin = {
    isNormalUser = true;
    extraGroups = [ "wheel" ];
    openssh.authorizedKeys.keys = [ ];
  };
  users.mutableUsers = false;
  assertions = [
    {
      assertion = config.users.users.admin.openssh.authorizedKeys.keys != [ ];
      message = "nobody could enter pi: put your public ssh key into hosts/pi.nix";
    }
  ];
  raspberryPi.persistence.admin = "admin";
  security.sudo.wheelNeedsPassword = false;
  services.openssh = {
    enable = true;
    settings = {
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
    };
  };

  # Deployments copy store paths that no cache has signed.
  nix.settings.trusted-users = [ "@wheel" ];

  # The release of the first installation; it is never raised.
  system.stateVersion = "26.05";
}
