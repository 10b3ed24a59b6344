# OctoPrint and its persistent state.
{ config, ... }:
let
  cfg = config.services.octoprint;
in
{
  services.octoprint = {
    enable = true;
    openFirewall = true;
  };

  # Impermanence creates the directory before the service runs, so the owner is named here.
  raspberryPi.persistence.directories = [
    {
      directory = cfg.stateDir;
      inherit (cfg) user group;
      mode = "0750";
    }
  ];
}
