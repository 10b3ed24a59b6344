# Images at places that only an attribute names.
make: {
  hydraJobs.pi.image = make.zst "pi";
  colmenaHive.nodes.pi = make.configuration { sdImage = make.zst "pi"; };
  colmena.meta = throw "never looked at";
}
