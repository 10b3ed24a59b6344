# The modules of every host, whatever its hardware.
{
  imports = [
    ./emulation.nix
    ./logins.nix
    ./nix.nix
    ./ssh.nix
    ./users.nix
  ];
}
