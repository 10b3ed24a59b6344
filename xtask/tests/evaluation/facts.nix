# This repository's flake, evaluated around source trees of its inputs: XTASK_NIXPKGS is nixpkgs, XTASK_INPUTS
# a folder with impermanence, nixos-hardware and deploy-rs. What the suite asserts, as data.
let
  root = toString ../../..;
  inherit (import ./flakes.nix root) load nixpkgs flake;

  # Two hosts that are added as docs/hosts.md describes: by a line in the registry and a file.
  others = import ../../../nix/hosts.nix {
    inherit (flake) inputs;
    registry = {
      second = {
        system = "aarch64-linux";
        address = "second.lan";
        admin = "somebody";
      };
      desk = {
        system = "x86_64-linux";
        address = "desk.lan";
        admin = "somebody";
      };
    };
    moduleOf = name: ./hosts + "/${name}";
  };

  # What another flake makes of this one: the template, and an image of a configuration that knows nothing of it.
  template = load "${root}/templates/cluster" {
    inherit nixpkgs;
    xtask = flake;
  };
  foreign = nixpkgs.lib.nixosSystem {
    modules = [
      {
        nixpkgs.hostPlatform = "aarch64-linux";
        networking.hostName = "foreign";
        system.stateVersion = "26.05";
      }
    ];
  };

  inherit (flake.nixosConfigurations.stinky) config pkgs;
  derivations = builtins.mapAttrs (_: value: value.drvPath);

  # The text of config.txt.
  configTxt =
    config: builtins.unsafeDiscardStringContext config.hardware.raspberry-pi.configtxt.file.text;

  inherit (import ./host_facts.nix nixpkgs)
    common
    units
    boot
    pi
    missingModules
    ;

  # The script of a derivation, and the paths that it copies from, each by a name.
  script = drv: sources: {
    text = builtins.unsafeDiscardStringContext drv.buildCommand;
    sources = builtins.mapAttrs (_: builtins.unsafeDiscardStringContext) sources;
  };

  # The host with further settings.
  extended =
    module:
    (flake.nixosConfigurations.stinky.extendModules {
      modules = [ module ];
    }).config;
  # What becomes of a host with further settings.
  outcome =
    module:
    let
      config = extended module;
    in
    complaints config
    // {
      configTxt = configTxt config;
      missingModules = missingModules config;
    };

  # Warnings and failed assertions.
  complaints = config: {
    inherit (config) warnings;
    failed = map (entry: entry.message) (builtins.filter (entry: !entry.assertion) config.assertions);
  };
in
{
  inherit (config.system.nixos) release;
  # The scripts that make FIRMWARE and the device trees of the kernel.
  firmwareScript = script (config.raspberryPi.firmware.treeBy pkgs) {
    firmware = "${pkgs.raspberrypifw}";
    stubs = "${pkgs.raspberrypi-armstubs}";
    uboot = "${config.raspberryPi.firmware.uboot}";
    config = "${config.hardware.raspberry-pi.configtxt.file}";
    trial = "${config.raspberryPi.trial.filesWith pkgs}";
  };
  deviceTreeScript = script config.hardware.deviceTree.dtbSource {
    kernel = "${config.boot.kernelPackages.kernel}";
  };
  # Hosts whose settings concern the board.
  settings = {
    current = outcome {
      raspberryPi.boards = [
        "pi3"
        "pi02"
        "pi4"
        "pi400"
        "cm4"
        "pi5"
        "pi500"
      ];
    };
    old = outcome (
      { pkgs, ... }:
      {
        boot.kernelPackages = pkgs.linuxPackages_6_12;
        raspberryPi = {
          boards = [
            "pi4"
            "pi5"
            "cm5"
          ];
          firmware.uboot = pkgs.ubootRaspberryPiAarch64 // {
            version = "2026.01";
          };
        };
      }
    );
    # The profile of a board brings defaults of its own, among them overlays.
    profile = outcome {
      imports = [ (flake.inputs.nixos-hardware + "/raspberry-pi/5") ];
      hardware.raspberry-pi.firmware.enable = true;
    };
    overlays = outcome ./hosts/overlays.nix;
    overlaysForUboot = outcome {
      imports = [ ./hosts/overlays.nix ];
      raspberryPi.firmware.overlaysForUBoot = true;
    };
    cm5 = outcome {
      imports = [
        ./hosts/cm5.nix
        ./hosts/overlays.nix
      ];
      raspberryPi.boards = [
        "cm5"
        "pi5"
      ];
    };
  };
  # Hosts with a cache key, and with what is none.
  keyed =
    let
      bytes = nixpkgs.lib.concatStrings (nixpkgs.lib.replicate 43 "A");
      config = extended { common.cacheKeys = [ "desk-1:${bytes}=" ]; };
    in
    (common config).nix // complaints config;
  wronglyKeyed = complaints (extended {
    common.cacheKeys = [ "ssh-ed25519 AAAA" ];
  });
  compressionLevels = map (config: config.system.build.sdImage.drvAttrs.ZSTD_LEVEL) [
    config
    (extended { raspberryPi.image.compressionLevel = 19; })
  ];
  units = units config;
  boot = boot config;
  system = common config // pi config // complaints config;
  second =
    let
      inherit (others.nixosConfigurations.second) config;
    in
    common config // pi config // complaints config;
  desk =
    let
      inherit (others.nixosConfigurations.desk) config;
    in
    common config
    // complaints config
    // {
      toplevel = config.system.build.toplevel.drvPath;
    };
  others = {
    images = nixpkgs.lib.genAttrs [ "aarch64-linux" "x86_64-linux" ] (
      system: derivations (others.images nixpkgs.legacyPackages.${system})
    );
    nodes = builtins.mapAttrs (_: node: {
      inherit (node) hostname sshUser;
      profile = node.profiles.system.path.drvPath;
    }) others.deployNodes;
  };
  # As `nix flake init` writes it, with nobody who can enter.
  blank = complaints template.nixosConfigurations.pi.config;
  template =
    let
      filled = template.nixosConfigurations.pi.extendModules {
        modules = [ { users.users.admin.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA" ]; } ];
      };
      inherit (filled) config;
    in
    pi config
    // complaints config
    // {
      hostName = config.networking.hostName;
      sdImage = config.system.build.sdImage.drvPath;
      tool = derivations (builtins.mapAttrs (_: set: set.default) template.packages);
    };
  waysIn = import ./ways_in.nix {
    inherit nixpkgs complaints;
    inherit (others.nixosConfigurations) second;
  };
  backup = import ./backup.nix {
    inherit complaints pi;
    inherit (flake.nixosConfigurations) stinky;
  };
  # The image of a configuration without the modules of this flake, by the machine whose tools assemble it.
  foreignImages = {
    byHost = (flake.lib.sdImage foreign { }).drvPath;
    byWorkstation = (flake.lib.sdImage foreign { pkgs = nixpkgs.legacyPackages.x86_64-linux; }).drvPath;
  };
  node = removeAttrs flake.deploy.nodes.stinky [ "profiles" ];
  profile = flake.deploy.nodes.stinky.profiles.system.path.drvPath;
  # The node that the tool makes where a flake has none.
  made =
    (import ../../src/deploy/desired/node.nix {
      isAddressGiven = true;
      makeProfile = import ../../src/deploy/desired/profile.nix;
    } "stinky" { inherit (flake) nixosConfigurations; }).node;
  packages = builtins.mapAttrs (_: derivations) flake.packages;
  checks = builtins.mapAttrs (_: derivations) flake.checks;
  shells = builtins.mapAttrs (_: derivations) flake.devShells;
  formatters = derivations flake.formatter;
  toplevel = config.system.build.toplevel.drvPath;
  # The script that a switch runs to write the boot menu, and nixpkgs' program that it calls, with its arguments.
  installBootLoader = builtins.unsafeDiscardStringContext config.system.build.installBootLoader.text;
  menuWriter = builtins.unsafeDiscardStringContext config.raspberryPi.trial.menuWriter;
}
