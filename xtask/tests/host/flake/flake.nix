# A host without a node, whose system is a changed copy of the one on the card. The suite puts `facts.json` and the folders
# `busybox`, `programs` and `system` beside this file.
{
  outputs =
    { self }:
    let
      facts = builtins.fromJSON (builtins.readFile ./facts.json);
      make =
        name: script: more:
        derivation (
          {
            inherit name;
            system = facts.platform;
            builder = "${./busybox}/busybox";
            args = [
              "sh"
              script
            ];
          }
          // more
        );
      platform = {
        system = facts.platform;
      };
      # The part of nixpkgs that the profile of a made node uses.
      pkgs = {
        runtimeShell = "/bin/sh";
        stdenv = {
          buildPlatform = platform;
          hostPlatform = platform;
        };
        runCommand =
          name: more: script:
          make name (builtins.toFile "script" script) more;
        deploy-rs = make "deploy-rs" ./copy.sh {
          from = ./programs;
          change = "";
        };
      };
    in
    {
      nixosConfigurations.demo = {
        inherit pkgs;
        config = {
          deployment = {
            targetHost = "127.0.0.1";
            targetUser = "root";
            targetPort = facts.port;
          };
          system.build.toplevel = make "nixos-system-demo-${facts.name}" ./copy.sh {
            from = ./system;
            inherit (facts) change;
          };
        };
      };
    };
}
