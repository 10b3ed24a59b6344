# Where a host of the configuration `config` reads its host key, and what it mounts. An option that is absent or throws
# counts as unknown. `setOf value` is `value` if it is a set, or an empty set if it is none or throws.
setOf: config:
let
  inherit (builtins)
    attrNames
    concatMap
    deepSeq
    elem
    filter
    isString
    match
    storeDir
    tryEval
    ;

  orElse =
    default: value:
    let
      tried = tryEval (deepSeq value value);
    in
    if tried.success then tried.value else default;
  # The lists that `function` makes of each name and value of `set`, as one list. Values that throw are left out.
  each = function: set: concatMap (name: orElse [ ] (function name set.${name})) (attrNames set);

  mounts = setOf (config.fileSystems or null);
  isBind = fs: elem "bind" (fs.options or [ ]) || elem "rbind" (fs.options or [ ]);
  mount = at: fs: {
    inherit at;
    device = fs.device or null;
    type = fs.fsType or null;
  };
  moved = path: source: [ { inherit path source; } ];
  # The files and folders that impermanence or preservation keep in another folder.
  kept =
    name: store:
    let
      root = store.persistentStoragePath or name;
      place = it: if isString it then it else it.filePath or it.dirPath or it.file or it.directory;
      paths = map place ((store.files or [ ]) ++ (store.directories or [ ]));
    in
    if store.enable or true then concatMap (path: moved path (root + path)) paths else [ ];
  # A file of /etc/ssh that is a link to a file elsewhere. A link to the store is no key.
  link =
    name: file:
    if
      match "ssh(/.*)?" name != null
      && (file.enable or true)
      && isString (file.source or null)
      && match "${storeDir}/.*" file.source == null
    then
      moved "/etc/${name}" file.source
    else
      [ ];
  keys = orElse null (config.services.openssh.hostKeys or null);
in
{
  hostKeys =
    if keys == null then null else map (key: key.path) (filter (key: key.type or null == "ed25519") keys);
  mounts = each (at: fs: if isBind fs then [ ] else [ (mount at fs) ]) mounts;
  moved =
    each (at: fs: if isBind fs then moved at fs.device else [ ]) mounts
    ++ each kept (setOf (config.environment.persistence or null))
    ++ each kept (setOf (config.preservation.preserveAt or null))
    ++ each link (setOf (config.environment.etc or null));
}
