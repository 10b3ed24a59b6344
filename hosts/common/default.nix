# The modules of every host, whatever its hardware.
{
  imports = [
    ./emulation.nix
    ./nix.nix
    ./ssh.nix
    ./users.nix
  ];
}
