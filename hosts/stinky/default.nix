# The Pi at the 3D printer. It is a Raspberry Pi as ../raspberry-pi defines it, and runs OctoPrint; nix/hosts.nix adds
# what every host has, from ../common. For another service, import another file in place of octoprint.nix.
{
  imports = [
    ../raspberry-pi
    ./octoprint.nix
  ];

  # The release of NixOS with which this host was first installed, by which services interpret old state. Never raise
  # it, also not when the host gets a newer NixOS.
  system.stateVersion = "26.05";
}
