# The SD image. The module of nixpkgs does not fit: it makes one root file system with the store in /nix/store, and its
# first boot registers the store paths and grows the card by the device of /, which is a tmpfs here.
{
  config,
  lib,
  pkgs,
  modulesPath,
  ...
}:
let
  inherit (config.system.nixos) release;
in
{
  imports = [ (modulesPath + "/image/file-options.nix") ];

  options.raspberryPi.image = {
    headroomMiB = lib.mkOption {
      type = lib.types.ints.unsigned;
      default = 256;
      description = "Free space of NIXOS_SD in MiB for files that are written before the first boot grows it.";
    };
    compressionLevel = lib.mkOption {
      type = lib.types.ints.between 1 19;
      default = 3;
      example = 19;
      description = ''
        The level at which zstd compresses the image. A higher level takes more time and gives a smaller file: 10 takes
        three times as long as 3, for a file that is a fifth smaller.
      '';
    };
    rootUuid = lib.mkOption {
      type = lib.types.str;
      default = "44444444-4444-4444-8888-888888888888";
      description = "The UUID of NIXOS_SD. The default is a constant, so that the same input gives the same image.";
    };
  };

  config = {
    image = {
      baseName = "nixos-sd-image-${config.networking.hostName}-${release}-${pkgs.stdenv.hostPlatform.system}";
      extension = "img.zst";
      filePath = "sd-image/${config.image.fileName}";
    };

    # The closure is that of the Pi. The tools may be those of a workstation: copying, making file systems and
    # compressing take many times as long under emulation.
    system.build.sdImageAssembledBy =
      tools: tools.callPackage ./assemble.nix { inherit config modulesPath; };
    system.build.sdImage = config.system.build.sdImageAssembledBy pkgs;
  };
}
