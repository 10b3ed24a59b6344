# Wi-Fi by iwd, whose networks are files on the card: `cargo xtask flash --wifi SSID` writes one.
{ config, lib, ... }:
let
  cfg = config.raspberryPi.wifi;
in
{
  options.raspberryPi.wifi = {
    enable = lib.mkEnableOption "Wi-Fi, with the networks and passwords that are on the card";
    country = lib.mkOption {
      type = lib.types.nullOr (lib.types.strMatching "[A-Z]{2}");
      default = null;
      example = "DE";
      description = "The country of the Pi, whose rules allow more channels than those of all countries together.";
    };
  };

  config = lib.mkIf cfg.enable {
    networking.wireless.iwd = {
      enable = true;
      settings.General = lib.mkIf (cfg.country != null) { Country = cfg.country; };
    };
    hardware.wirelessRegulatoryDatabase = lib.mkIf (cfg.country != null) true;
    # A network is a file with its password.
    raspberryPi.persistence.directories = [
      {
        directory = "/var/lib/iwd";
        mode = "0700";
      }
    ];
  };
}
