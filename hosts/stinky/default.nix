# The Pi at the 3D printer.
{
  imports = [
    ../raspberry-pi
    ./octoprint.nix
  ];

  # The release of the first installation: what old state is read as. It is never raised.
  system.stateVersion = "26.05";
}
