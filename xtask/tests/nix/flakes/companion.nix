# The image is that of another configuration than the deployed one.
make: {
  nixosConfigurations.rpi5 = make.configuration { };
  nixosConfigurations.rpi5-image = make.configuration { sdImage = make.zst "rpi5"; };
  deploy.nodes.rpi5.hostname = "rpi5.example.org";
}
