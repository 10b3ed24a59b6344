# The profile that deploy-rs activates, made of a NixOS configuration: what `lib.activate.nixos` of deploy-rs's
# flake makes, for a flake without that input. The program `activate` is that of the configuration's own nixpkgs,
# so the host can run it.
configuration:
let
  inherit (configuration) config pkgs;
  inherit (config.system.build) toplevel;
  inherit (pkgs.stdenv) buildPlatform hostPlatform;
  boot = config.boot.loader or { };

  # A cross-compiled program would be built here, with its compiler; the caches have the native one.
  native =
    if buildPlatform.system == hostPlatform.system then
      pkgs
    else
      import pkgs.path { inherit (hostPlatform) system; };
  # The overlay of deploy-rs's flake has the package one level deeper.
  package = native.deploy-rs.deploy-rs or native.deploy-rs;

  # The line `default` of systemd-boot can name another generation than the new one (deploy-rs #31).
  forget =
    if boot.systemd-boot.enable or false then
      "sed -i '/^default /d' '${boot.efi.efiSysMountPoint}/loader/loader.conf'"
    else
      "";
in
pkgs.runCommand "activatable-${toplevel.name}"
  {
    inherit toplevel;
    # A switch fails in a folder that is closed to its user (nixpkgs #73404).
    activate = ''
      #!${pkgs.runtimeShell}
      set -eu
      if [ "''${DRY_ACTIVATE:-}" = 1 ]; then
        exec "$PROFILE/bin/switch-to-configuration" dry-activate
      elif [ "''${BOOT:-}" = 1 ]; then
        exec "$PROFILE/bin/switch-to-configuration" boot
      fi
      cd /tmp
      "$PROFILE/bin/switch-to-configuration" switch
      ${forget}
    '';
    activateRs = ''
      #!${pkgs.runtimeShell}
      exec ${package}/bin/activate "$@"
    '';
    preferLocalBuild = true;
    allowSubstitutes = false;
  }
  ''
    mkdir $out
    ln -s $toplevel/* $out/
    printf %s "$activate" >$out/deploy-rs-activate
    printf %s "$activateRs" >$out/activate-rs
    chmod +x $out/deploy-rs-activate $out/activate-rs
  ''
