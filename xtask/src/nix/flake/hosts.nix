# The hosts of a flake: their names, and the image of one of them.
#
# Real flakes throw, lack outputs, and sort outputs by system. An output that cannot be evaluated hides no other output,
# and only the requested values are evaluated. The arguments are the values of the other files of this folder.
values: layoutOf: stockVariants: imageLists: outputs:
let
  inherit (values) attempt setOf;
  inherit (builtins)
    all
    any
    attrNames
    concatMap
    elem
    filter
    head
    length
    mapAttrs
    match
    tryEval
    ;

  packages = setOf (outputs.packages or null);
  nodes = (setOf (outputs.deploy or null)).nodes or null;

  isSystem = name: match "(aarch64|armv[5-7]a?l|i686|riscv64|x86_64)-(linux|darwin)" name != null;
  # The configurations in `set`, whose attribute path is `path`.
  configurationsIn =
    path: set:
    map (name: {
      inherit name;
      path = path ++ [ name ];
      value = set.${name};
    }) (attrNames set);
  # All configurations, also of flakes that sort them by system.
  configurations = concatMap (
    entry: if isSystem entry.name then configurationsIn entry.path (setOf entry.value) else [ entry ]
  ) (configurationsIn [ "nixosConfigurations" ] (setOf (outputs.nixosConfigurations or null)));

  inherit (imageLists)
    firstOf
    imageAt
    isIso
    isMiss
    isNamedImage
    thrownAt
    ;

  imageOf =
    { host, here }:
    let
      # The system of this machine comes first: its packages need no emulation.
      preferred = filter (system: packages ? ${system}) [
        here
        "aarch64-linux"
      ];
      systems = preferred ++ filter (system: !elem system preferred) (attrNames packages);
      # A list of the image of the first package that has one of `names` and that `accepts` accepts; any, if it is null.
      packageImage =
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
              if accepts == null || tried.success && accepts tried.value then
                imageAt place [
                  "packages"
                  system
                ] set name
              else
                [ ]
            ) names
          ) systems
        );
      # The names of packages and configurations that are made for the image of the host.
      imageNames =
        map (ending: "${host}${ending}") [
          "-image"
          "-sd-image"
          "-sd"
          "-sdimage"
          "-img"
          "SD"
        ]
        ++ map (beginning: "${beginning}${host}") [
          "sd-"
          "sd-image-"
          "sdImage-"
          "image-"
        ];

      configurationsNamed = names: filter (configuration: elem configuration.name names) configurations;
      ownConfigurations = configurationsNamed [ host ];
      buildOf = configuration: configuration.value.config.system.build or { };
      imageInBuild =
        place: configuration:
        imageAt place (
          configuration.path
          ++ [
            "config"
            "system"
            "build"
          ]
        ) (buildOf configuration);
      variantsOf = configuration: setOf ((buildOf configuration).images or null);
      variantsPath =
        configuration:
        configuration.path
        ++ [
          "config"
          "system"
          "build"
          "images"
        ];
      imageInVariants =
        place: configuration: imageAt place (variantsPath configuration) (variantsOf configuration);
      # A list of a miss if the set of the variants throws.
      brokenVariants =
        place: configuration:
        if (attempt ((buildOf configuration).images or null)).success then
          [ ]
        else
          [ (thrownAt place (variantsPath configuration)) ];
      # Every configuration has the variant for ISOs; one that has no other is meant for them.
      isoVariants =
        place: configuration:
        let
          names = attrNames (variantsOf configuration);
          isIsoVariant =
            name:
            elem name [
              "iso"
              "iso-installer"
            ];
        in
        if all isIsoVariant names then concatMap (imageInVariants place configuration) names else [ ];
      asIso = map (image: image // { isIso = true; });
      # An option names the file of `build.image`.
      withFile =
        configuration: image:
        image
        // {
          file = if image.file == null then configuration.value.config.image.filePath or null else image.file;
        };
      # An image that was not made of another configuration is made of this one.
      withConfig =
        configuration: image:
        image
        // {
          config = if image.config == null then configuration.value.config or null else image.config;
        };
      ownVariants =
        configuration: filter (name: !elem name stockVariants) (attrNames (variantsOf configuration));
      imagesOfConfiguration =
        place: configuration:
        map (withConfig configuration) (firstOf [
          (imageInBuild place configuration "sdImage")
          (map (withFile configuration) (imageInBuild place configuration "image"))
          (concatMap (imageInVariants place configuration) (ownVariants configuration))
          (imageInBuild place configuration "diskoImages")
          (brokenVariants place configuration)
          (asIso (imageInBuild place configuration "isoImage"))
          (asIso (isoVariants place configuration))
        ]);
      isBoard =
        configuration:
        match "(aarch64|armv[5-7]a?l)-linux" (configuration.value.pkgs.stdenv.hostPlatform.system or "")
        != null
        && configuration.value.config.boot.loader.generic-extlinux-compatible.enable or false;
      stockImages =
        configuration:
        if isBoard configuration then
          map (withConfig configuration) (imageInVariants "stock" configuration "sd-card")
        else
          [ ];

      isOnly = length configurations == 1 && ownConfigurations != [ ];
      # The places of images of the host itself, in order.
      own = firstOf [
        (packageImage "convention" null [ "${host}-sdImage" ])
        (imageAt "images" [ "images" ] (setOf (outputs.images or null)) host)
        (imageAt "images" [ "image" ] (setOf (outputs.image or null)) host)
        (packageImage "package" isNamedImage [ host ])
        (packageImage "package" null imageNames)
        (concatMap (imagesOfConfiguration "configuration") ownConfigurations)
        (
          if isOnly then
            packageImage "only" isNamedImage [
              "sdImage"
              "sd-image"
              "image"
              "default"
            ]
          else
            [ ]
        )
      ];
      # A host whose own image throws has one: another would not be what its configuration says.
      isBroken = image: image ? thrown && image.place == "configuration";
      found =
        if any isBroken own then
          own
        else
          firstOf [
            own
            (concatMap (imagesOfConfiguration "companion") (configurationsNamed imageNames))
            (concatMap stockImages ownConfigurations)
          ];
      isEvaluated = image: !isMiss image && (tryEval image.derivation).success;
      images = filter isEvaluated found;
      paths = map (image: image.path);
      is_configured = ownConfigurations != [ ];
      # The image with the layout of its configuration, or else of the host's, in place of the configuration.
      withLayout =
        image:
        let
          ownConfigs = map (configuration: configuration.value.config or null) ownConfigurations;
          configs = [ image.config ] ++ ownConfigs;
          known = filter (config: setOf config != { }) configs;
        in
        removeAttrs image [ "config" ]
        // {
          layout = if known == [ ] then null else layoutOf values (head known);
        };
    in
    {
      images = map withLayout images;
      isos = paths (filter (image: !(image ? thrown) && isIso image) found);
      thrown = paths (filter (image: image ? thrown || !(isIso image || isEvaluated image)) found);
      inherit is_configured;
      # The packages with the name, which `nix build` may mean by it.
      packages =
        map
          (system: [
            "packages"
            system
            host
          ])
          (
            filter (system: setOf packages.${system} ? ${host}) (
              if is_configured || images != [ ] then [ ] else systems
            )
          );
    };
in
{
  names = {
    packages = mapAttrs (_: set: attrNames (setOf set)) packages;
    images = attrNames (setOf (outputs.images or null) // setOf (outputs.image or null));
    configurations = map (configuration: configuration.path) configurations;
    nodes = attrNames (setOf nodes);
    broken = concatMap (output: if (attempt output.value).success then [ ] else [ output.path ]) [
      {
        path = [ "packages" ];
        value = outputs.packages or null;
      }
      {
        path = [ "nixosConfigurations" ];
        value = outputs.nixosConfigurations or null;
      }
      {
        path = [
          "deploy"
          "nodes"
        ];
        value = nodes;
      }
    ];
  };
  # The systems by which the outputs are sorted.
  systems =
    attrNames packages ++ filter isSystem (attrNames (setOf (outputs.nixosConfigurations or null)));
  inherit imageOf;
}
