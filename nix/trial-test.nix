# A host whose image is flashed to a virtual card, booted in QEMU, and given a good and a bad generation, each on trial.
# The tools are those of `pkgs`; the host is AArch64, so that its closure comes from a cache or an AArch64 builder.
{
  self,
  inputs,
  pkgs,
}:
let
  inherit (pkgs) lib;
  sshKeys = import (inputs.nixpkgs + "/nixos/tests/ssh-keys.nix") pkgs;

  base = inputs.nixpkgs.lib.nixosSystem {
    modules = [
      self.nixosModules.raspberry-pi
      {
        nixpkgs.hostPlatform = "aarch64-linux";
        networking.hostName = "trial";
        system.stateVersion = lib.trivial.release;
        services.openssh = {
          enable = true;
          settings.PermitRootLogin = "prohibit-password";
        };
        users.users.root.openssh.authorizedKeys.keys = [ sshKeys.snakeOilPublicKey ];
      }
    ];
  };
  extendedBy = module: base.extendModules { modules = [ module ]; };
  toplevel = host: host.config.system.build.toplevel;

  good = toplevel (extendedBy {
    environment.etc.generation.text = "good";
  });
  # Its kernel finds neither an init in the initrd nor a root, and panics.
  bad = toplevel (extendedBy {
    boot.kernelParams = lib.mkAfter [
      "rdinit=/none"
      "root=/none"
    ];
  });
  image =
    (extendedBy {
      system.extraDependencies = [
        good
        bad
      ];
    }).config.system.build.sdImageAssembledBy
      pkgs;
in
pkgs.runCommand "trial-test"
  {
    nativeBuildInputs = [
      self.packages.${pkgs.stdenv.hostPlatform.system}.xtask
      pkgs.openssh
      pkgs.qemu
    ];
    inherit good bad image;
    uboot = base.pkgs.ubootQemuAarch64;
    userKey = sshKeys.snakeOilPrivateKey;
  }
  ''
    sh ${./trial-test.sh}
    touch "$out"
  ''
