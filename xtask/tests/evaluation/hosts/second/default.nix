# A second Pi, as docs/hosts.md has it, with some options of its own.
{
  imports = [ ../../../../../hosts/raspberry-pi ];
  raspberryPi = {
    storage.rootSize = "512M";
    boot.generations = 3;
    persistence.directories = [ "/var/lib/bluetooth" ];
  };
  system.stateVersion = "26.05";
}
