# Nix itself, on the host.
{ config, lib, ... }:
let
  cfg = config.common;

  # The public keys in a file, one a line.
  keysOf =
    file: lib.filter (line: line != "") (map lib.trim (lib.splitString "\n" (builtins.readFile file)));
  files = lib.optionals (lib.pathExists ./cache) (
    lib.filter (lib.hasSuffix ".pub") (lib.attrNames (builtins.readDir ./cache))
  );
in
{
  options.common = {
    cacheKeys = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = lib.concatMap (name: keysOf (./cache + "/${name}")) files;
      defaultText = lib.literalMD "the keys in the files `hosts/common/cache/*.pub`";
      description = ''
        The public keys whose signatures Nix of the host accepts, beside those of nixpkgs: the store paths of a deploy
        may come from a cache, or from a user whom Nix does not trust, if one of these keys has signed them.
        `cargo xtask identity cache-key` prints the key of a workstation.
      '';
    };
    trustAdministrators = lib.mkOption {
      type = lib.types.bool;
      default = cfg.cacheKeys == [ ];
      defaultText = lib.literalMD "`true` as long as the host has no `common.cacheKeys`";
      description = ''
        Whether Nix of the host trusts the group `wheel` (`trusted-users`): every process of an administrator may then
        bring any store path to the host, and choose any cache, without sudo and without a signature. That is as much
        as being root. Without keys it is needed, as nothing else lets a deploy copy to the host.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = lib.all (key: builtins.match "[^: ]+:[A-Za-z0-9+/]{43}=" key != null) cfg.cacheKeys;
        message =
          "common.cacheKeys has what is no public key of Nix, NAME:BASE64: hosts/common/cache/*.pub have what "
          + "`cargo xtask identity cache-key` prints";
      }
    ];

    nix = {
      settings = {
        # The commands `nix build`, `nix run` and the like, and flakes.
        experimental-features = [
          "nix-command"
          "flakes"
        ];
        trusted-public-keys = cfg.cacheKeys;
        trusted-users = lib.mkIf cfg.trustAdministrators [ "@wheel" ];
      };
      # Each deploy leaves the systems before it in the store, for a rollback. Those of more than 30 days go, as a card
      # is small; the running one stays in any case.
      gc = {
        automatic = true;
        dates = "weekly";
        options = "--delete-older-than 30d";
      };
    };
  };
}
