# A small, real, bootable AArch64 SD image without nixpkgs: `cargo xtask demo` copies this folder, puts the
# programs and the content out of Debian's arm64 packages beside it as `inputs`, and builds it.
#
# The builder is an AArch64 busybox, so a machine of another kind builds this by emulation or not at all.
{
  description = "A small AArch64 SD image, laid out like those of the hosts";

  outputs =
    { self }:
    let
      system = "aarch64-linux";
      version = builtins.replaceStrings [ "\n" ] [ "" ] (builtins.readFile ./inputs/version);
      demo-sdImage = derivation {
        name = "nixos-sd-image-demo-${version}-${system}.img.zst";
        inherit system version;
        # Inside a folder: busybox finds its applet by the name it is called by.
        builder = "${self}/inputs/bin/busybox";
        args = [
          "sh"
          "${self}/build.sh"
        ];
        src = self;
      };
    in
    {
      packages.${system} =
        if builtins.pathExists ./inputs/version then
          { inherit demo-sdImage; }
        else
          throw "there is no folder `inputs` beside this flake.nix: `cargo xtask demo` makes a copy that has it";
    };
}
