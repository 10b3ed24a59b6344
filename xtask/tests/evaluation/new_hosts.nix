# The hosts that `new-host` wrote into a tree of this repository (XTASK_NEW_HOSTS) and into its template, evaluated: those
# whose names begin with XTASK_NEW_HOSTS_PREFIX.
let
  root = builtins.getEnv "XTASK_NEW_HOSTS";
  prefix = builtins.getEnv "XTASK_NEW_HOSTS_PREFIX";
  inherit (import ./flakes.nix root) load nixpkgs flake;
  template = load "${root}/templates/cluster" {
    inherit nixpkgs;
    xtask = flake;
  };
  isWanted = name: _: nixpkgs.lib.hasPrefix prefix name;
  factsOf = _: host: {
    inherit (host.config) warnings;
    failed = map (entry: entry.message) (
      builtins.filter (entry: !entry.assertion) host.config.assertions
    );
    hostName = host.config.networking.hostName;
    inherit (host.config.raspberryPi) boards;
    wifi = host.config.raspberryPi.wifi.enable;
    rootSize = host.config.raspberryPi.storage.rootSize;
    stateVersion = host.config.system.stateVersion;
    keys = builtins.concatMap (
      user: user.openssh.authorizedKeys.keys ++ map builtins.readFile user.openssh.authorizedKeys.keyFiles
    ) (builtins.filter (user: user.isNormalUser) (builtins.attrValues host.config.users.users));
    toplevel = host.config.system.build.toplevel.drvPath;
  };
in
{
  registry = nixpkgs.lib.mapAttrs factsOf (
    nixpkgs.lib.filterAttrs isWanted flake.nixosConfigurations
  );
  nodes = nixpkgs.lib.mapAttrs (_: node: { inherit (node) hostname sshUser; }) (
    nixpkgs.lib.filterAttrs isWanted flake.deploy.nodes
  );
  template = nixpkgs.lib.mapAttrs factsOf (
    nixpkgs.lib.filterAttrs isWanted template.nixosConfigurations
  );
}
