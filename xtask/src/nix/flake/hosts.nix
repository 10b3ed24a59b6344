# The hosts of a flake: their names, and the image of one of them.
#
# Real flakes throw, lack outputs, and sort outputs by system. An output that cannot be evaluated hides no other, and
# only the requested values are evaluated. `layoutOf` is the function of layout.nix.
layoutOf: outputs:
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    head
    isAttrs
    length
    mapAttrs
    match
    tail
    tryEval
    ;

  attempt = value: tryEval (if isAttrs value then value else { });
  # `value` if it is a set, or an empty set if it is none or throws.
  setOf =
    value:
    let
      tried = attempt value;
    in
    if tried.success then tried.value else { };

  packages = setOf (outputs.packages or null);
  nodes = (setOf (outputs.deploy or null)).nodes or null;

  # All configurations, also of flakes that sort them by system.
  isSystem = name: match "(aarch64|armv[5-7]a?l|i686|riscv64|x86_64)-(linux|darwin)" name != null;
  configurationsIn =
    path: set:
    map (name: {
      inherit name;
      path = path ++ [ name ];
      value = set.${name};
    }) (attrNames set);
  configurations = concatMap (
    it: if isSystem it.name then configurationsIn it.path (setOf it.value) else [ it ]
  ) (configurationsIn [ "nixosConfigurations" ] (setOf (outputs.nixosConfigurations or null)));

  # The first of the lists that is not empty; later ones are not evaluated.
  firstOf =
    lists:
    if lists == [ ] then
      [ ]
    else if head lists != [ ] then
      head lists
    else
      firstOf (tail lists);

  isImage = value: isAttrs value && value.type or null == "derivation";
  isIso = image: match ".*[.]iso" image.name != null;
  # A package with the name of a host may also be its system, or a program.
  isNamedImage = image: match ".*(image|[.]img|[.]raw).*" (image.name or "") != null;

  # The image `set.name` at `path`, if it is there.
  imageAt =
    place: path: set: name:
    let
      tried = tryEval (set.${name} or null);
      image = tried.value;
    in
    if tried.success && isImage image then
      [
        {
          inherit place;
          path = path ++ [ name ];
          name = image.name or "";
          system = image.system or null;
          derivation = image.drvPath;
          file = image.passthru.filePath or image.filePath or null;
          # A variant of nixpkgs has the configuration that it is made of.
          config = image.passthru.config or null;
        }
      ]
    else
      [ ];

  imageOf =
    { host, here }:
    let
      # The system of this machine comes first: its packages need no emulation.
      preferred = filter (system: packages ? ${system}) [
        here
        "aarch64-linux"
      ];
      systems = preferred ++ filter (system: !elem system preferred) (attrNames packages);
      package =
        place: accepts: names:
        firstOf (
          concatMap (
            system:
            map (
              name:
              let
                set = setOf packages.${system};
                tried = tryEval (set.${name} or null);
              in
              if tried.success && accepts tried.value then
                imageAt place [
                  "packages"
                  system
                ] set name
              else
                [ ]
            ) names
          ) systems
        );
      ownPackage = package "package" (_: true);
      endings = map (ending: "${host}${ending}") [
        "-image"
        "-sd-image"
        "-sd"
        "-sdimage"
        "-img"
        "SD"
      ];

      called = names: filter (it: elem it.name names) configurations;
      buildOf = it: it.value.config.system.build or { };
      inBuild = place: it: imageAt place (it.path ++ [ "config" "system" "build" ]) (buildOf it);
      variants = it: setOf ((buildOf it).images or null);
      inVariants =
        place: it:
        imageAt place (
          it.path
          ++ [
            "config"
            "system"
            "build"
            "images"
          ]
        ) (variants it);
      # An option names the file of `build.image`.
      withFile =
        it: image:
        image
        // {
          file = if image.file == null then it.value.config.image.filePath or null else image.file;
        };
      # An image without a configuration of its own is that of the host.
      withConfig =
        it: image:
        image
        // {
          config = if image.config == null then it.value.config or null else image.config;
        };
      ofConfiguration =
        place: it:
        map (withConfig it) (firstOf [
          (inBuild place it "sdImage")
          (map (withFile it) (inBuild place it "image"))
          (concatMap (inVariants place it) (filter (name: !elem name stockVariants) (attrNames (variants it))))
          (inBuild place it "diskoImages")
        ]);
      isBoard =
        it:
        match "(aarch64|armv[5-7]a?l)-linux" (it.value.pkgs.stdenv.hostPlatform.system or "") != null
        && it.value.config.boot.loader.generic-extlinux-compatible.enable or false;
      stock = it: if isBoard it then map (withConfig it) (inVariants "stock" it "sd-card") else [ ];

      isOnly = length configurations == 1 && called [ host ] != [ ];
      found = firstOf [
        (package "convention" (_: true) [ "${host}-sdImage" ])
        (imageAt "images" [ "images" ] (setOf (outputs.images or null)) host)
        (imageAt "images" [ "image" ] (setOf (outputs.image or null)) host)
        (package "package" isNamedImage [ host ])
        (ownPackage endings)
        (concatMap (ofConfiguration "configuration") (called [ host ]))
        (
          if isOnly then
            package "only" isNamedImage [
              "sdImage"
              "sd-image"
              "image"
              "default"
            ]
          else
            [ ]
        )
        (concatMap (ofConfiguration "companion") (called endings))
        (concatMap stock (called [ host ]))
      ];
      withLayout =
        image:
        let
          configs = [ image.config ] ++ map (it: it.value.config or null) (called [ host ]);
          known = filter (config: setOf config != { }) configs;
        in
        removeAttrs image [ "config" ] // { layout = if known == [ ] then null else layoutOf setOf (head known); };
    in
    {
      images = map withLayout (filter (image: !isIso image) found);
      isos = map (image: image.path) (filter isIso found);
      is_configured = called [ host ] != [ ];
    };

  # The variants that nixpkgs gives to every configuration, also to one that cannot boot from a card.
  stockVariants = [
    "amazon"
    "azure"
    "cloudstack"
    "digital-ocean"
    "google-compute"
    "hyperv"
    "iso"
    "iso-installer"
    "kexec"
    "kubevirt"
    "linode"
    "lxc"
    "lxc-metadata"
    "oci"
    "openstack"
    "openstack-zfs"
    "proxmox"
    "proxmox-lxc"
    "qemu"
    "qemu-efi"
    "raw"
    "raw-efi"
    "sd-card"
    "vagrant-virtualbox"
    "virtualbox"
    "vmware"
  ];
in
{
  names = {
    packages = mapAttrs (_: set: attrNames (setOf set)) packages;
    images = attrNames (setOf (outputs.images or null) // setOf (outputs.image or null));
    configurations = map (it: it.path) configurations;
    nodes = attrNames (setOf nodes);
    broken = concatMap (it: if (attempt it.value).success then [ ] else [ it.name ]) [
      {
        name = "packages";
        value = outputs.packages or null;
      }
      {
        name = "nixosConfigurations";
        value = outputs.nixosConfigurations or null;
      }
      {
        name = "deploy.nodes";
        value = nodes;
      }
    ];
  };
  inherit imageOf;
}
