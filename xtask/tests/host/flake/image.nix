# A flake with the image of the host `guest`, which the suite has put beside this file.
{
  outputs =
    { self }:
    let
      platform = builtins.fromJSON (builtins.readFile ./platform.json);
    in
    {
      packages.${platform}.guest-sdImage = derivation {
        name = "guest-sd-image";
        system = platform;
        builder = "${./busybox}/busybox";
        args = [
          "sh"
          "-c"
          ''
            set -e
            "$builder" mkdir -p "$out/sd-image"
            "$builder" cp ${./card.img.zst} "$out/sd-image/guest.img.zst"
          ''
        ];
      };
    };
}
