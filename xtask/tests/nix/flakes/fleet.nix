# Fifteen hosts: two are Pis, one throws, twelve are PCs; one node has no hostname, another throws.
make: {
  nixosConfigurations =
    builtins.listToAttrs (
      map (number: {
        name = "pc${toString number}";
        value = make.pc;
      }) (builtins.genList (number: number) 12)
    )
    // {
      broken = throw "broken on purpose";
      "Pi.Küche" = make.configuration { sdImage = make.zst "kitchen"; };
      attic_pi = make.configuration { sdImage = make.zst "attic"; };
    };
  deploy.nodes = {
    "Pi.Küche".hostname = "kitchen.example.org";
    attic_pi.hostname = null;
    broken = throw "broken on purpose";
  };
}
