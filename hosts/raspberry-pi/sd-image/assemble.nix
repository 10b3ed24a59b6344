# The derivation around the assembler. All packages are those of the machine that assembles; `config` is that of the Pi.
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

  # The command that writes the boot menu, as on the Pi, but with the tools of the assembling machine. The menu has no
  # older generations: without a sandbox the command would find those of the assembling machine.
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
      ZSTD_LEVEL = toString image.compressionLevel;
      # The modification time of all files in a Nix store.
      SOURCE_DATE_EPOCH = "1";
    };
  }
  ''
    # NIXOS_SD is mounted at /nix, so its root is the folder `nix` of a root folder.
    export ROOT_TREE=$PWD/root/nix HOME=$PWD
    ${pkgs.runtimeShell} ${./prepare.sh}

    ${menuWriter} -c ${toplevel} -d "$ROOT_TREE/boot"

    export OUT=$out/${config.image.filePath}
    ${pkgs.runtimeShell} ${./assembler}/assemble.sh

    mkdir "$out/nix-support"
    echo "file sd-image $OUT" >"$out/nix-support/hydra-build-products"
  ''
