# The convention of this tool, beside systems that throw, are null, or have other packages.
make: {
  packages.${make.system} = {
    pi-sdImage = make.zst "pi";
    hello = make.build "hello" { };
  };
  packages.aarch64-darwin = throw "no Mac here";
  packages.x86_64-darwin = null;
  nixosConfigurations.pi = make.configuration { };
  deploy.nodes.pi.hostname = "pi.example.org";
}
