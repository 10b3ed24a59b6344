# The deploy-rs node of a host, with its settings merged as deploy-rs merges them: profile over node over
# deploy, and the ssh options concatenated. `node` is null if there is no such node, or if `wrong` is not
# empty. `wrong` lists the options with another type than deploy-rs expects. `system` is the toplevel of the
# NixOS system of the same name, or null.
host: outputs:
let
  deploy = outputs.deploy or { };
  nodes = deploy.nodes or { };
  systems = outputs.nixosConfigurations or { };
  node = nodes.${host} or null;
  profiles = node.profiles or { };
  profile = profiles.system or null;
  levels = [
    {
      path = "deploy.nodes.${host}.profiles.system";
      set = profile;
    }
    {
      path = "deploy.nodes.${host}";
      set = node;
    }
    {
      path = "deploy";
      set = deploy;
    }
  ];
  # The levels that set the option, the decisive one first.
  holders = name: builtins.filter (level: level.set ? ${name}) levels;
  decisive =
    name:
    let
      all = holders name;
    in
    if all == [ ] then [ ] else [ (builtins.head all) ];
  one = name: (builtins.head (decisive name ++ [ { set.${name} = null; } ])).set.${name};
  all = name: builtins.concatMap (level: level.set.${name}) (holders name);
  isText = value: builtins.isString value || builtins.isPath value;
  types = {
    string = builtins.isString;
    boolean = builtins.isBool;
    seconds = value: builtins.isInt value && value >= 0;
    strings = value: builtins.isList value && builtins.all builtins.isString value;
    set = builtins.isAttrs;
    package = value: isText value || value ? outPath || value ? __toString;
  };
  check =
    expected: option: value:
    if types.${expected} value then
      [ ]
    else
      [
        {
          inherit option expected;
          found = builtins.typeOf value;
        }
      ];
  checkOptional =
    expected: option: value:
    if value == null then [ ] else check expected option value;
  checkAt = expected: name: level: checkOptional expected "${level.path}.${name}" level.set.${name};
  checkOne = expected: name: builtins.concatMap (checkAt expected name) (decisive name);
  at = "deploy.nodes.${host}";
  wrongSet =
    if !builtins.isAttrs nodes then
      check "set" "deploy.nodes" nodes
    else if !(nodes ? ${host}) then
      [ ]
    else
      check "set" at node
      ++ check "set" "${at}.profiles" profiles
      ++ checkOptional "set" "${at}.profiles.system" profile;
  wrongOption =
    checkOptional "string" "${at}.hostname" (node.hostname or null)
    ++ checkOptional "string" "${at}.profiles.system.profilePath" (profile.profilePath or null)
    ++ (if profile == null then [ ] else check "package" "${at}.profiles.system.path" (profile.path or null))
    ++ builtins.concatMap (
      level: check "strings" "${level.path}.sshOpts" level.set.sshOpts
    ) (holders "sshOpts")
    ++ builtins.concatMap (checkOne "string") [
      "sshUser"
      "user"
      "sudo"
      "tempPath"
    ]
    ++ builtins.concatMap (checkOne "boolean") [
      "remoteBuild"
      "fastConnection"
      "interactiveSudo"
    ]
    ++ builtins.concatMap (checkOne "seconds") [
      "confirmTimeout"
      "activationTimeout"
    ];
  hasNode = builtins.isAttrs nodes && nodes ? ${host};
  wrong = if wrongSet == [ ] && hasNode then wrongOption else wrongSet;
  isReadable = hasNode && wrong == [ ];
  built = {
    path = "${profile.path}";
  }
  // (if profile.path ? drvPath then { inherit (profile.path) drvPath; } else { });
in
{
  inherit wrong;
  names = if builtins.isAttrs nodes then builtins.attrNames nodes else [ ];
  node =
    if !isReadable then
      null
    else
      {
        hostname = if node.hostname or null == null then "" else node.hostname;
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
  system =
    if isReadable && systems ? ${host} then
      systems.${host}.config.system.build.toplevel.outPath
    else
      null;
}
