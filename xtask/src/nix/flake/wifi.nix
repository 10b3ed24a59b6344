# The program that connects a host with the configuration `config` to Wi-Fi, and what decides about its files; null
# where no program does. `values` is that of `values.nix`.
values: config:
let
  inherit (values) orElse setOf;
  inherit (builtins)
    any
    attrNames
    concatMap
    filter
    head
    isList
    isString
    match
    ;

  isOn = set: orElse false (set.enable or false) == true;

  networking = setOf (config.networking or null);
  wireless = setOf (networking.wireless or null);
  networks = setOf (wireless.networks or null);
  secretsFile = orElse null (wireless.secretsFile or null);

  # The network `name` with the name of the secret that is its password.
  networkOf =
    name:
    let
      network = setOf networks.${name};
      psk = network.pskRaw or null;
      secret = if isString psk then match "ext:(.+)" psk else null;
    in
    if secret == null then
      [ ]
    else
      [
        {
          ssid = network.ssid or name;
          secret = head secret;
        }
      ];

  rules = orElse [ ] (config.systemd.tmpfiles.rules or [ ]);
  # Whether a line gives the file to the user of wpa_supplicant, as each boot must.
  givesFile =
    rule:
    let
      words = filter (word: isString word && word != "") (builtins.split " +" rule);
    in
    builtins.length words > 3
    && builtins.elemAt words 1 == secretsFile
    && match "[zZ].*" (head words) != null;
in
if isOn (setOf (networking.networkmanager or null)) then
  { daemon = "network_manager"; }
else if isOn (setOf (wireless.iwd or null)) then
  { daemon = "iwd"; }
else if isOn wireless then
  {
    daemon = "wpa_supplicant";
    secrets_file = if isString secretsFile then secretsFile else null;
    networks = concatMap (name: orElse [ ] (networkOf name)) (attrNames networks);
    # Recent versions do not run as root.
    reads_file =
      !(orElse false (wireless.enableHardening or false))
      || any (rule: isString rule && givesFile rule) (if isList rules then rules else [ ]);
  }
else
  null
