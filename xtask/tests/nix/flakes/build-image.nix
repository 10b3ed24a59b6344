# `system.build.image` of newer image builders, whose file an option names; beside it is another file.
make: {
  nixosConfigurations.pi =
    let
      base = make.configuration {
        image = make.build "pi-image" {
          "deep/pi.raw" = ./image.img;
          "boot.raw" = ./image.zst;
        };
      };
    in
    base
    // {
      config = base.config // {
        image.filePath = "deep/pi.raw";
      };
    };
}
