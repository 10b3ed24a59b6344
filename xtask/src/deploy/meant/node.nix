# What deploy-rs will do for a host, with its settings merged as it merges them: profile over node over
# deploy, and the options of ssh added up. `node` is null where there is no such node.
host: deploy:
let
  nodes = deploy.nodes or { };
  read =
    node:
    let
      profiles = node.profiles or { };
      profile = profiles.system or null;
      one = name: profile.${name} or node.${name} or deploy.${name} or null;
      all = name: (profile.${name} or [ ]) ++ (node.${name} or [ ]) ++ (deploy.${name} or [ ]);
    in
    {
      hostname = node.hostname or "";
      profiles = builtins.attrNames profiles;
      path = if profile == null then null else "${profile.path}";
      system = profile.path.system or null;
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
    };
in
{
  names = builtins.attrNames nodes;
  node = if nodes ? ${host} then read nodes.${host} else null;
}
