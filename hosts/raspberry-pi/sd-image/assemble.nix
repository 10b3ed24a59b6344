# The derivation around assemble.sh. Everything but `config` is of the machine that assembles.
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
  cfg,
  modulesPath,
}:
let
  inherit (config.system.build) toplevel;
  closure = closureInfo { rootPaths = [ toplevel ]; };

  # What the module runs on the Pi, but with tools of the assembling machine.
  installExtlinux =
    import (modulesPath + "/system/boot/loader/generic-extlinux-compatible/extlinux-conf-builder.nix")
      { inherit lib pkgs; };
  inherit (config.boot.loader) timeout;
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
      STORE_PATHS = "${closure}/store-paths";
      FIRMWARE_TREE = config.raspberryPi.firmware.treeBy pkgs;
      FIRMWARE_MIB = toString config.raspberryPi.firmware.sizeMiB;
      HEADROOM_MIB = toString cfg.headroomMiB;
      ROOT_UUID = cfg.rootUuid;
      # The time of the files in the store.
      SOURCE_DATE_EPOCH = "1";
    };
  }
  ''
    # NIXOS_SD is mounted at /nix, so its root is the folder nix of this one.
    export ROOT_TREE=$PWD/root/nix
    mkdir -p "$ROOT_TREE/boot" "$ROOT_TREE/var/nix/profiles" "$ROOT_TREE/persist"

    # No older generations (-g 0): without a sandbox those of the building machine would be found.
    ${installExtlinux} -g 0 -t ${if timeout == null then "-1" else toString timeout} \
      -c ${toplevel} -d "$ROOT_TREE/boot"

    # The database is complete before the first boot. One that is filled by the first boot may stay empty,
    # and then the first garbage collection deletes the system.
    HOME=$PWD NIX_REMOTE="local?root=$PWD/root" nix-store --load-db <${closure}/registration
    # When a path was registered is the time of the build, which would differ from one to the next.
    sqlite3 "$ROOT_TREE/var/nix/db/db.sqlite" \
      "PRAGMA journal_mode = DELETE; UPDATE ValidPaths SET registrationTime = $SOURCE_DATE_EPOCH; VACUUM"
    # Space set aside for a full disk; Nix makes it again.
    rm -f "$ROOT_TREE/var/nix/db/reserved"
    # The store itself is the assembler's part.
    rm -rf "$ROOT_TREE/store"
    # What keeps the system alive in a garbage collection. Nix has made this link for the folder that it
    # worked in here; followed on the Pi it leads nowhere, and no profile would keep anything.
    ln -sfn /nix/var/nix/profiles "$ROOT_TREE/var/nix/gcroots/profiles"
    ln -s ${toplevel} "$ROOT_TREE/var/nix/profiles/system-1-link"
    ln -s system-1-link "$ROOT_TREE/var/nix/profiles/system"

    export OUT=$out/${config.image.filePath}
    ${pkgs.runtimeShell} ${./assemble.sh}

    mkdir "$out/nix-support"
    echo "file sd-image $OUT" >"$out/nix-support/hydra-build-products"
  ''
