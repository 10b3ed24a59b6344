# OctoPrint, at port 5000, and its persistent state. A service of your own looks the same: enable it, open its port, and
# list the folder with its state.
{ config, ... }:
let
  cfg = config.services.octoprint;
in
{
  services.octoprint = {
    enable = true;
    openFirewall = true;
  };

  # / is in memory: a folder that is not listed is empty after each boot. Impermanence creates the directory before the
  # service runs, so the owner is named here.
  raspberryPi.persistence.directories = [
    {
      directory = cfg.stateDir;
      inherit (cfg) user group;
      mode = "0750";
    }
  ];
}
