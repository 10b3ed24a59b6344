# OctoPrint and the state it must not lose.
{ config, ... }:
let
  cfg = config.services.octoprint;
in
{
  services.octoprint = {
    enable = true;
    openFirewall = true;
  };

  # Created by impermanence before the service runs, so the owner has to be named here.
  raspberryPi.persistence.directories = [
    {
      directory = cfg.stateDir;
      inherit (cfg) user group;
      mode = "0750";
    }
  ];
}
