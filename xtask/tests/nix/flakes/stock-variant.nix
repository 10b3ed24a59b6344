# No image of its own: what nixpkgs makes of every configuration of a board.
make: {
  nixosConfigurations.pi = make.configuration { images = make.stock (make.zst "pi"); };
  nixosConfigurations.server = make.pc;
}
