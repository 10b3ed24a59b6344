# One host, and a package that does not name it.
make: {
  packages.${make.system} = {
    default = make.zst "pi";
    tool = make.build "tool" { };
  };
  nixosConfigurations.pi = make.configuration { };
}
