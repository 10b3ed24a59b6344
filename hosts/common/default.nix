# What every host has, whatever its hardware.
{
  imports = [
    ./emulation.nix
    ./nix.nix
    ./ssh.nix
    ./users.nix
  ];
}
