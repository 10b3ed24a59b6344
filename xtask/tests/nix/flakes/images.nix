# An output of images beside the configurations.
make: {
  images.pi = make.raw "pi";
  nixosConfigurations.pi = throw "the image is made without it";
}
