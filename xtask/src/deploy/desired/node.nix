# The deploy-rs node of a host, with its settings merged as deploy-rs merges them: profile over node over
# deploy, and the ssh options concatenated. `node` is null if there is no such node. `system` is the toplevel of
# the NixOS system of the same name, or null.
host: outputs:
let
  deploy = outputs.deploy or { };
  nodes = deploy.nodes or { };
  systems = outputs.nixosConfigurations or { };
  read =
    node:
    let
      profiles = node.profiles or { };
      profile = profiles.system or null;
      one = name: profile.${name} or node.${name} or deploy.${name} or null;
      all = name: (profile.${name} or [ ]) ++ (node.${name} or [ ]) ++ (deploy.${name} or [ ]);
      built = {
        path = "${profile.path}";
      }
      // (if profile.path ? drvPath then { inherit (profile.path) drvPath; } else { });
    in
    {
      hostname = node.hostname or "";
      profiles = builtins.attrNames profiles;
      path = if profile == null then null else built.path;
      drvPath = if profile == null then null else built.drvPath or null;
      platform = profile.path.system or null;
      profilePath = profile.profilePath or null;
      sshOpts = all "sshOpts";
      sshUser = one "sshUser";
      user = one "user";
      sudo = one "sudo";
      tempPath = one "tempPath";
      remoteBuild = one "remoteBuild";
      fastConnection = one "fastConnection";
      interactiveSudo = one "interactiveSudo";
      confirmTimeout = one "confirmTimeout";
      activationTimeout = one "activationTimeout";
      # The output `deploy` with nothing in it but this profile, and nothing left to evaluate.
      pinned =
        if profile == null then
          null
        else
          deploy
          // {
            nodes.${host} = node // {
              profiles.system = profile // built;
            };
          };
    };
in
{
  names = builtins.attrNames nodes;
  node = if nodes ? ${host} then read nodes.${host} else null;
  system =
    if nodes ? ${host} && systems ? ${host} then
      systems.${host}.config.system.build.toplevel.outPath
    else
      null;
}
