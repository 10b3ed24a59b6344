# The derivation around the assembler. Everything but `config` is for the machine that assembles.
{
  lib,
  pkgs,
  closureInfo,
  dosfstools,
  e2fsprogs,
  fakeroot,
  libfaketime,
  mtools,
  nix,
  runCommand,
  sqlite,
  util-linux,
  zstd,
  config,
  modulesPath,
}:
let
  inherit (config.raspberryPi) firmware image;
  inherit (config.system.build) toplevel;
  closure = closureInfo { rootPaths = [ toplevel ]; };

  # The program that the boot module runs on the Pi, with tools of the assembling machine. No older generations: without
  # a sandbox those of the building machine would be found.
  menuWriter = import ../trial/menu-writer.nix {
    inherit
      config
      lib
      modulesPath
      pkgs
      ;
    generations = 0;
  };
in
runCommand config.image.fileName
  {
    nativeBuildInputs = [
      dosfstools
      e2fsprogs
      fakeroot
      libfaketime
      mtools
      nix
      sqlite
      util-linux
      zstd
    ];
    env = {
      TOPLEVEL = toplevel;
      REGISTRATION = "${closure}/registration";
      STORE_PATHS = "${closure}/store-paths";
      FIRMWARE_TREE = firmware.treeBy pkgs;
      FIRMWARE_MIB = toString firmware.sizeMiB;
      HEADROOM_MIB = toString image.headroomMiB;
      ROOT_UUID = image.rootUuid;
      # The modification time of all files in a Nix store.
      SOURCE_DATE_EPOCH = "1";
    };
  }
  ''
    # NIXOS_SD is mounted at /nix, so its root is the folder nix of this one.
    export ROOT_TREE=$PWD/root/nix HOME=$PWD
    ${pkgs.runtimeShell} ${./prepare.sh}

    ${menuWriter} -c ${toplevel} -d "$ROOT_TREE/boot"

    export OUT=$out/${config.image.filePath}
    ${pkgs.runtimeShell} ${./assembler}/assemble.sh

    mkdir "$out/nix-support"
    echo "file sd-image $OUT" >"$out/nix-support/hydra-build-products"
  ''
