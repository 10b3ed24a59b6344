# A package called as the host; another host's package is its system, and its image is in its configuration.
make: {
  packages.${make.system} = {
    pi = make.gz "pi";
    kiosk = make.build "nixos-system-kiosk" { };
  };
  nixosConfigurations.pi = make.configuration { };
  nixosConfigurations.kiosk = make.configuration { sdImage = make.zst "kiosk"; };
}
