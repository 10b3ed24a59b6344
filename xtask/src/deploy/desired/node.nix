# The deploy-rs node of a host, with its settings merged as deploy-rs merges them: profile over node over
# deploy, and the ssh options concatenated. Without a node in the flake, one is made of the host's NixOS
# configuration by `makeProfile`; its address is the one that the user gives (`isAddressGiven`), or
# `deployment.targetHost`, an option of colmena. `node` is null if there is neither, or if `wrong` is not empty.
# `wrong` lists the options of another type than expected. `configurations` are the attribute paths of the NixOS
# configurations with the name of the host, and `system` is the toplevel of the only one, or null.
{ isAddressGiven, makeProfile }:
host: outputs:
let
  deploy = if outputs.deploy or null == null then { } else outputs.deploy;
  nodes = deploy.nodes or { };
  systems = outputs.nixosConfigurations or { };

  # The configurations with the name of the host, also in flakes that sort them by system.
  isSystem = name: builtins.match "(aarch64|armv[5-7]a?l|i686|riscv64|x86_64)-linux" name != null;
  setOf =
    value:
    let
      tried = builtins.tryEval value;
    in
    if tried.success && builtins.isAttrs tried.value then tried.value else { };
  sorted = builtins.filter isSystem (builtins.attrNames (setOf systems));
  called =
    path: set:
    if set ? ${host} && !isSystem host then
      [
        {
          path = "${path}.${host}";
          value = set.${host};
        }
      ]
    else
      [ ];
  inSystem = system: called "nixosConfigurations.${system}" (setOf systems.${system});
  configurations = called "nixosConfigurations" systems ++ builtins.concatMap inSystem sorted;
  inherit (builtins.head configurations) path value;

  isOwn = !builtins.isAttrs nodes || nodes ? ${host};
  deployment = value.config.deployment or { };
  isMade =
    !isOwn
    && builtins.length configurations == 1
    && (isAddressGiven || deployment.targetHost or null != null);
  optional = name: value: if value == null then { } else { ${name} = value; };
  made = {
    hostname = if isAddressGiven then null else deployment.targetHost;
    sshOpts =
      if deployment.targetPort or null == null then
        [ ]
      else
        [
          "-p"
          (toString deployment.targetPort)
        ];
    profiles.system = {
      user = "root";
      path = makeProfile value;
    };
  }
  // optional "sshUser" (deployment.targetUser or null);
  checkDeployment =
    expected: name:
    checkOptional expected "${path}.config.deployment.${name}" (deployment.${name} or null);
  wrongMade =
    if !isMade then
      [ ]
    else
      (if isAddressGiven then [ ] else checkDeployment "string" "targetHost")
      ++ checkDeployment "string" "targetUser"
      ++ checkDeployment "port" "targetPort";

  node = if isMade then made else nodes.${host} or null;
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
    port = value: builtins.isInt value && value > 0 && value < 65536;
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
  checkAt =
    expected: name: level:
    checkOptional expected "${level.path}.${name}" level.set.${name};
  checkOne = expected: name: builtins.concatMap (checkAt expected name) (decisive name);
  at = "deploy.nodes.${host}";
  wrongSet =
    if !builtins.isAttrs nodes then
      check "set" "deploy.nodes" nodes
    else if !(nodes ? ${host} || isMade) then
      [ ]
    else
      check "set" at node
      ++ check "set" "${at}.profiles" profiles
      ++ checkOptional "set" "${at}.profiles.system" profile;
  wrongOption =
    checkOptional "string" "${at}.hostname" (node.hostname or null)
    ++ checkOptional "string" "${at}.profiles.system.profilePath" (profile.profilePath or null)
    ++ (
      if profile == null then
        [ ]
      else if profile ? path then
        check "package" "${at}.profiles.system.path" profile.path
      else
        [
          {
            option = "${at}.profiles.system.path";
            expected = "package";
            found = "missing";
          }
        ]
    )
    ++ builtins.concatMap (level: check "strings" "${level.path}.sshOpts" level.set.sshOpts) (
      holders "sshOpts"
    )
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
      "autoRollback"
      "magicRollback"
    ]
    ++ builtins.concatMap (checkOne "seconds") [
      "confirmTimeout"
      "activationTimeout"
    ];
  hasNode = builtins.isAttrs nodes && (nodes ? ${host} || isMade);
  # The options of a made node come from others, which are checked first.
  firstOf = first: second: if first == [ ] then second else first;
  wrong = firstOf wrongMade (firstOf wrongSet (if hasNode then wrongOption else [ ]));
  isReadable = hasNode && wrong == [ ];
  built = {
    path = "${profile.path}";
  }
  // (if profile.path ? drvPath then { inherit (profile.path) drvPath; } else { });
in
{
  inherit wrong;
  names = if builtins.isAttrs nodes then builtins.attrNames nodes else [ ];
  configured =
    builtins.filter (name: !isSystem name) (builtins.attrNames (setOf systems))
    ++ builtins.concatMap (system: builtins.attrNames (setOf systems.${system})) sorted;
  configurations = map (it: it.path) configurations;
  node =
    if !isReadable then
      null
    else
      {
        configuration = if isMade then path else null;
        # The files that colmena would upload to the host.
        uncopied = if isMade then builtins.attrNames (setOf (deployment.keys or null)) else [ ];
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
        autoRollback = one "autoRollback";
        magicRollback = one "magicRollback";
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
    if isReadable && builtins.length configurations == 1 then
      value.config.system.build.toplevel.outPath
    else
      null;
}
