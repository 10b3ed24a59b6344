# Configurations sorted by system.
make: {
  nixosConfigurations.aarch64-linux.pi = make.configuration { sdImage = make.zst "pi"; };
  nixosConfigurations.x86_64-linux.server = make.pc;
}
