# Images of disko: a file for each of two disks, at the root of the output.
make: {
  nixosConfigurations.pi = make.configuration {
    diskoImages = make.build "pi-disko-images" {
      "main.raw" = ./image.img;
      "data.raw" = ./image.img;
    };
  };
}
