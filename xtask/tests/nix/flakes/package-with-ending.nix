# A package called as the host with an ending.
make: {
  packages.${make.system}.pi-sd-image = make.xz "pi";
  nixosConfigurations.pi = make.configuration { };
  nixosConfigurations.other = make.pc;
}
