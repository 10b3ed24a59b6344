# What every host of the registry has, whatever its hardware: nix/hosts.nix adds this folder to each.
{
  imports = [
    ./emulation.nix
    ./logins.nix
    ./nix.nix
    ./ssh.nix
    ./users.nix
  ];
}
