# Who can log in by ssh to a host with the configuration `config`; null where the configuration has no sshd. An option
# that is absent or throws counts as not set. `values` is that of `values.nix`. The module hosts/common/logins.nix warns
# by the same rules.
values: config:
let
  inherit (values) orElse setOf;
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatMap
    concatStringsSep
    elem
    filter
    getContext
    isAttrs
    isList
    isPath
    isString
    length
    match
    pathExists
    readFile
    replaceStrings
    split
    stringLength
    substring
    unsafeDiscardStringContext
    ;

  listOf =
    value:
    if isList value then
      value
    else if isString value then
      filter (part: isString part && part != "") (split " +" value)
    else
      [ ];

  ssh = setOf (config.services.openssh or null);
  settings = setOf (ssh.settings or null);
  setting = name: orElse null (settings.${name} or null);
  isOn =
    name:
    !elem (setting name) [
      false
      "no"
    ];
  isSet = value: isString value && value != "" && value != "none";

  # Whether sshd lets a user with this name and these groups in at all. A pattern may match anybody.
  isPattern = text: match ".*[*?!@].*" text != null;
  isAllowed =
    name: groups:
    let
      names = option: concatMap listOf (listOf (setting option));
      admits =
        option: mine: setting option == null || any (text: elem text mine || isPattern text) (names option);
    in
    admits "AllowUsers" [ name ]
    && admits "AllowGroups" groups
    && !elem name (names "DenyUsers")
    && !any (group: elem group (names "DenyGroups")) groups;

  hasShell =
    user:
    let
      shell = user.shell or null;
      path = if isAttrs shell then shell.shellPath or null else shell;
    in
    (user.enable or true) && !(isString path && match ".*/(nologin|false)" path != null);

  rootLogin = setting "PermitRootLogin";
  takesPasswords = isOn "PasswordAuthentication" || isOn "KbdInteractiveAuthentication";
  # The module of a Raspberry Pi names a file for a password, which a card has only where somebody puts it there.
  cardFolder = orElse null (config.raspberryPi.persistence.path or null);
  isGiven = value: isSet value && match "[!*].*" value == null && !isOnCard value;
  isOnCard = value: isString cardFolder && hasPrefix "${cardFolder}/" value;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasPassword =
    name: user:
    takesPasswords
    && (
      name != "root"
      || elem rootLogin [
        true
        "yes"
      ]
    )
    && any (option: isGiven (user.${option} or null)) [
      "password"
      "initialPassword"
      "hashedPassword"
      "initialHashedPassword"
      "hashedPasswordFile"
      "passwordFile"
    ];

  # Whether no build has to make the file first.
  isSource =
    file:
    isPath file || isString file && all (origin: origin.path or false) (attrValues (getContext file));
  # The text of a file with keys; null if unknown.
  textOf = file: if isSource file && pathExists file then readFile file else null;
  # The lines of the keys that the configuration gives to `user`, as one text; null if unknown.
  keysOf =
    user:
    let
      keys = setOf ((setOf (user.openssh or null)).authorizedKeys or null);
      texts = filter isString (listOf (keys.keys or null)) ++ map textOf (listOf (keys.keyFiles or null));
    in
    if !isOn "PubkeyAuthentication" then
      ""
    else if elem null texts then
      null
    else
      unsafeDiscardStringContext (concatStringsSep "\n" texts);
  # A type and a key, perhaps with options before and a comment behind, as sshd reads it.
  isKeyLine =
    line:
    isString line
    &&
      match "[[:space:]]*([^#[:space:]].*[[:space:]])?(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+[[:space:]]+AAAA.*" line
      != null;
  hasKey = text: text == null || any isKeyLine (split "\n" text);

  hasPrivateKey =
    text: text != null && length (split "PRIVATE KEY-----|PuTTY-User-Key-File" text) > 1;

  etc = setOf (config.environment.etc or null);
  isManaged =
    path:
    let
      name = match "/etc/(.*)" path;
    in
    name != null && etc ? ${builtins.head name};
  patterns =
    if isOn "PubkeyAuthentication" then
      filter isString (listOf (ssh.authorizedKeysFiles or null))
    else
      [ ];
  isPlainPath = path: match "/[^%]*" path != null && !isManaged path;
  # The files in which sshd looks for keys of the user `name` alone, and which the configuration does not write.
  filesOf =
    name:
    let
      pathOf = replaceStrings [ "%u" ] [ name ];
    in
    filter isPlainPath (map pathOf (filter (pattern: pathOf pattern != pattern) patterns));
  # Those in the folder `home`, which belong to the user.
  homeFilesOf =
    home:
    let
      pathOf =
        pattern:
        if match "[/%].*" pattern == null then
          "${home}/${pattern}"
        else
          replaceStrings [ "%h" ] [ home ] pattern;
    in
    if isString home then
      filter isPlainPath (map pathOf (filter (pattern: pathOf pattern != pattern) patterns))
    else
      [ ];

  allGroups = setOf ((setOf (config.users or null)).groups or null);
  userOf =
    name: value:
    let
      user = setOf value;
      own = [ (user.group or "") ] ++ listOf (user.extraGroups or null);
      isMember = group: elem name (listOf (allGroups.${group}.members or null));
      groups = own ++ filter isMember (attrNames allGroups);
      isAdmitted =
        hasShell user
        && isAllowed name groups
        && (
          name != "root"
          || !elem rootLogin [
            false
            "no"
            "forced-commands-only"
          ]
        );
    in
    if isAdmitted then
      [
        {
          inherit name;
          is_normal = user.isNormalUser or false;
          is_admin = elem "wheel" groups;
          keys = keysOf user;
          has_password = hasPassword name user;
          files = filesOf name;
          home_files = homeFilesOf (user.home or null);
        }
      ]
    else
      [ ];
  allUsers = setOf ((setOf (config.users or null)).users or null);
  users = concatMap (name: orElse [ ] (userOf name allUsers.${name})) (attrNames allUsers);

  is_enabled = orElse false (ssh.enable or false);
  # Keys that a program, or certificates that an authority, provides.
  has_other_way =
    isSet (orElse null (ssh.authorizedKeysCommand or null)) || isSet (setting "TrustedUserCAKeys");
in
if ssh ? enable then
  {
    inherit is_enabled has_other_way users;
    # The users whose login keys contain a private key, by mistake.
    with_private_key = filter (name: orElse false (hasPrivateKey (keysOf allUsers.${name}))) (
      attrNames allUsers
    );
    # Whether somebody can log in, as far as the configuration says.
    is_open = is_enabled && (has_other_way || any (user: user.has_password || hasKey user.keys) users);
  }
else
  null
