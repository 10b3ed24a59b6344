# No image of its own: nixpkgs makes one of the configuration of a board.
make: {
  nixosConfigurations.pi = make.configuration { images = make.stock (make.zst "pi"); };
  nixosConfigurations.server = make.pc;
}
