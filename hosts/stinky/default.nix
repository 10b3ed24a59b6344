# The Pi at the 3D printer.
{
  imports = [
    ../raspberry-pi
    ./octoprint.nix
  ];

  # The release of the first installation, by which services interpret old state. Never raise it.
  system.stateVersion = "26.05";
}
