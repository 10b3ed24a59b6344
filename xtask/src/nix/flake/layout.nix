# Where a host with the configuration `config` reads its host key, which file systems it mounts, and on which boards. An
# option that is absent, throws or is of another type counts as unknown. The other arguments are the values of the files
# of that name.
logins: wifi: values: config:
let
  inherit (values) listOr orElse setOf;
  inherit (builtins)
    any
    attrNames
    concatMap
    elem
    filter
    isString
    match
    storeDir
    ;

  # The lists that `function` returns for each name and value of `set`, as one list. Values that throw are left out.
  concatEach =
    function: set: concatMap (name: orElse [ ] (function name set.${name})) (attrNames set);

  fileSystems = setOf (config.fileSystems or null);
  isBind =
    fs:
    any (option: elem option (listOr [ ] (fs.options or null))) [
      "bind"
      "rbind"
    ];
  mount = at: fs: {
    inherit at;
    device = fs.device or null;
    type = fs.fsType or null;
  };
  movedPath = path: source: { inherit path source; };
  # The files and folders that impermanence or preservation keep in the folder `name`.
  movesTo =
    name: storage:
    let
      root = storage.persistentStoragePath or name;
      pathOf =
        entry:
        if isString entry then
          entry
        else
          entry.filePath or entry.dirPath or entry.file or entry.directory or null;
      entries = concatMap (option: listOr [ ] (storage.${option} or null)) [
        "files"
        "directories"
      ];
      # Options of an entry that are not set throw.
      paths = filter isString (map (entry: orElse null (pathOf entry)) entries);
    in
    if storage.enable or true then map (path: movedPath path (root + path)) paths else [ ];
  # The file `name` of /etc if it is in /etc/ssh, and a link to a file elsewhere. A link to the store is no key.
  moveByLink =
    name: file:
    if
      match "ssh(/.*)?" name != null
      && (file.enable or true)
      && isString (file.source or null)
      && match "${storeDir}/.*" file.source == null
    then
      [ (movedPath "/etc/${name}" file.source) ]
    else
      [ ];
  isEtcOverlay = orElse false (config.system.etc.overlay.enable or false) == true;
  keys = orElse null (listOr null (config.services.openssh.hostKeys or null));
in
{
  hostKeys =
    if keys == null then
      null
    else
      map (key: key.path) (filter (key: key.type or null == "ed25519" && key ? path) keys);
  mounts =
    concatEach (at: fs: if isBind fs then [ ] else [ (mount at fs) ]) fileSystems
    # It hides the folder of the card.
    ++ (if isEtcOverlay then [ (mount "/etc" { fsType = "overlay"; }) ] else [ ]);
  moved =
    concatEach (at: fs: if isBind fs then [ (movedPath at fs.device) ] else [ ]) fileSystems
    ++ concatEach movesTo (setOf (config.environment.persistence or null))
    ++ concatEach movesTo (setOf (config.preservation.preserveAt or null))
    ++ concatEach moveByLink (setOf (config.environment.etc or null));
  boards = filter isString (
    orElse [ ] (listOr [ ] ((setOf (config.raspberryPi or null)).boards or null))
  );
  logins = logins values config;
  wifi = wifi values config;
  hasWifiModule = setOf (config.raspberryPi or null) ? wifi;
}
