# A second Pi, as docs/hosts.md has it, with some options of its own and the Wi-Fi of that page.
{
  imports = [ ../../../../../hosts/raspberry-pi ];
  raspberryPi = {
    storage.rootSize = "512M";
    boot.generations = 3;
    persistence.directories = [ "/var/lib/bluetooth" ];
  };
  networking.wireless = {
    enable = true;
    secretsFile = "/nix/persist/etc/wireless.conf";
    networks."the name of the network".pskRaw = "ext:home";
  };
  systemd.tmpfiles.rules = [
    "z /nix/persist/etc/wireless.conf 0400 wpa_supplicant wpa_supplicant -"
  ];
  system.stateVersion = "26.05";
}
