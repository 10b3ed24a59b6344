# The module of nixpkgs for SD cards, imported by the host's own configuration: the commonest shape.
make: {
  nixosConfigurations.pi = make.configuration {
    sdImage = make.zst "pi";
    images = make.stock (throw "not this one");
  };
  packages.${make.system}.default = make.build "hello" { };
}
