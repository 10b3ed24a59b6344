# What the flakes of these tests are made of. Images are copies of one small image, so nothing is downloaded.
let
  system = "@system@";
  # A derivation that puts `files` into its output: paths in the output, and the files of this folder.
  build =
    name: files:
    derivation {
      inherit name system;
      builder = "${./busybox}/busybox";
      args = [
        "sh"
        "-c"
        (builtins.concatStringsSep "\n" (
          [ "mkdir -p $out" ]
          ++ builtins.attrValues (
            builtins.mapAttrs (path: file: "mkdir -p $(dirname $out/${path}); cp ${file} $out/${path}") files
          )
        ))
      ];
    };
  noImage = throw "this variant is never evaluated";
in
{
  inherit system build;
  zst = name: build "nixos-sd-image-${name}" { "sd-image/${name}.img.zst" = ./image.zst; };
  gz = name: build "${name}-image" { "sd-image/${name}.img.gz" = ./image.gz; };
  xz = name: build "${name}-image" { "${name}.img.xz" = ./image.xz; };
  raw = name: build "${name}-image" { "${name}.raw" = ./image.img; };
  # What nixpkgs gives to every configuration. All variants but the one for cards would fail here.
  stock = card: {
    amazon = noImage;
    iso = noImage;
    raw = noImage;
    sd-card = card;
    vmware = noImage;
  };
  # A configuration with this `system.build`.
  configuration = systemBuild: {
    pkgs.stdenv.hostPlatform.system = "aarch64-linux";
    config = {
      system.build = {
        toplevel = build "nixos-system-test" { };
      }
      // systemBuild;
      boot.loader.generic-extlinux-compatible.enable = true;
    };
  };
  # A configuration of a PC.
  pc = {
    pkgs.stdenv.hostPlatform.system = "x86_64-linux";
    config.system.build = {
      toplevel = build "nixos-system-pc" { };
      images = {
        sd-card = noImage;
        iso = noImage;
      };
    };
  };
}
