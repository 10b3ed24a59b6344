# This repository's flake, evaluated around source trees of its inputs: XTASK_NIXPKGS is nixpkgs, XTASK_INPUTS
# a folder with impermanence, nixos-hardware and deploy-rs. What the suite asserts, as data.
let
  root = toString ../../..;
  inputs = builtins.getEnv "XTASK_INPUTS";

  # What Nix does with a flake, without copying the tree into the store.
  load =
    path: inputs:
    let
      self = (import (path + "/flake.nix")).outputs (inputs // { inherit self; }) // {
        outPath = path;
        inherit inputs;
        lastModified = 1;
        lastModifiedDate = "20260101000000";
      };
    in
    self;

  nixpkgs = load (builtins.getEnv "XTASK_NIXPKGS") { };
  # As much of flake-utils as deploy-rs asks for before its overlay is there.
  utils.lib = {
    defaultSystems = [ ];
    eachSystem = _: _: { };
  };
  flake = load root {
    inherit nixpkgs;
    impermanence = load "${inputs}/impermanence" {
      inherit nixpkgs;
      home-manager = { };
    };
    nixos-hardware = load "${inputs}/nixos-hardware" { inherit nixpkgs; };
    deploy-rs = load "${inputs}/deploy-rs" { inherit nixpkgs utils; };
  };

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

  # The modules of the boards that the initrd lacks.
  missingModules =
    config:
    nixpkgs.lib.subtractLists config.boot.initrd.availableKernelModules [
      "bcm2835"
      "clk-rp1"
      "pcie-brcmstb"
      "pinctrl-rp1"
      "reset-raspberrypi"
      "rp1_pci"
      "sdhci-brcmstb"
      "sdhci-iproc"
    ];

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

  # What every host has in common with the others.
  common = config: {
    hostName = config.networking.hostName;
    system = config.nixpkgs.hostPlatform.system;
    emulates = config.boot.binfmt.emulatedSystems;
    users = {
      inherit (config.users) mutableUsers;
      admins = builtins.attrNames (
        nixpkgs.lib.filterAttrs (
          _: user: user.isNormalUser && builtins.elem "wheel" user.extraGroups
        ) config.users.users
      );
    };
    sudo = {
      inherit (config.security.sudo) wheelNeedsPassword;
      lectures = !nixpkgs.lib.hasInfix "Defaults lecture = never\n" config.security.sudo.extraConfig;
    };
    ssh = {
      inherit (config.services.openssh.settings) PasswordAuthentication PermitRootLogin;
    };
  };

  # All units of a host by name, of its initrd and of the system itself, without those of packages.
  units =
    config:
    builtins.mapAttrs
      (
        _:
        builtins.mapAttrs (
          _: unit: {
            inherit (unit)
              enable
              aliases
              wantedBy
              requiredBy
              upheldBy
              overrideStrategy
              ;
            text = if unit.enable then builtins.unsafeDiscardStringContext unit.text else "";
          }
        )
      )
      {
        initrd = config.boot.initrd.systemd.units;
        system = config.systemd.units;
      }
    // {
      fstab = builtins.unsafeDiscardStringContext config.environment.etc.fstab.text;
    };

  # What growth and persistence run at boot: the names of their units, their activation scripts, and the derivations of
  # their programs.
  boot =
    config:
    let
      activation = builtins.concatStringsSep "\n" (
        map (name: config.system.activationScripts.${name}.text) [
          "createPersistentStorageDirs"
          "persist-files"
        ]
      );
      names = builtins.filter (
        name: builtins.match "grow-.*|persist-.*|home-.*\\.mount|var-lib-.*\\.mount" name != null
      ) (builtins.attrNames config.systemd.units);
      texts = map (name: config.systemd.units.${name}.text) names;
      context = builtins.getContext (builtins.concatStringsSep "\n" ([ activation ] ++ texts));
    in
    {
      inherit names;
      activation = builtins.unsafeDiscardStringContext activation;
      derivations = builtins.filter (nixpkgs.lib.hasSuffix ".drv") (builtins.attrNames context);
    };

  # The facts of a Pi: those behind the traps of docs/hosts.md, its trial and its image.
  pi =
    config:
    let
      persisted = config.environment.persistence."/nix/persist";
      extlinux = config.boot.loader.generic-extlinux-compatible;
      grow = config.systemd.services.grow-nixos-sd;
    in
    {
      fileSystems = builtins.mapAttrs (_: value: {
        inherit (value)
          device
          fsType
          neededForBoot
          options
          ;
      }) config.fileSystems;
      boot = {
        mirroredBoots = map (mirror: mirror.path) extlinux.mirroredBoots;
        inherit (extlinux) configurationLimit useGenerationDeviceTree;
        grub = config.boot.loader.grub.enable;
        deviceTrees = config.hardware.deviceTree.filter;
        systemdInitrd = config.boot.initrd.systemd.enable;
        kernel = config.boot.kernelPackages.kernel.pname;
        consoles = builtins.filter (nixpkgs.lib.hasPrefix "console=") config.boot.kernelParams;
        missingModules = missingModules config;
      };
      uboot = config.raspberryPi.firmware.uboot.pname;
      persisted = {
        directories = map (it: "${it.dirPath} ${it.user}:${it.group} ${it.mode}") persisted.directories;
        files = map (file: file.filePath) persisted.files;
      };
      hostKeys = map (key: key.path) config.services.openssh.hostKeys;
      authorizedKeys = config.services.openssh.authorizedKeysFiles;
      passwords = nixpkgs.lib.mapAttrs (_: user: user.hashedPasswordFile) (
        nixpkgs.lib.filterAttrs (_: user: user.isNormalUser) config.users.users
      );
      growth = {
        inherit (grow)
          enable
          before
          after
          conflicts
          restartIfChanged
          wantedBy
          ;
        inherit (grow.unitConfig) DefaultDependencies;
      };
      memory = {
        zram = config.zramSwap.enable;
        journal = config.services.journald.storage;
        journalLimits = config.services.journald.extraConfig;
        buildDir = config.nix.settings.build-dir;
        daemonTmp = config.systemd.services.nix-daemon.environment.TMPDIR;
        buildDirMade = builtins.filter (nixpkgs.lib.hasInfix "/nix/tmp") config.systemd.tmpfiles.rules;
      };
      trial = {
        inherit (config.raspberryPi.trial) by confirmWithin milestones;
        # The systemd of the initrd and that of the system feed the watchdog, and a kernel that panics reboots.
        watchdogs = map (systemd: systemd.settings.Manager.RuntimeWatchdogSec) [
          config.systemd
          config.boot.initrd.systemd
        ];
        fuses = builtins.filter (word: builtins.elem word config.boot.kernelParams) [
          "panic=10"
          "boot.panic_on_fail"
        ];
        driver = builtins.elem "bcm2835_wdt" config.boot.initrd.kernelModules;
        initrdDeadline = {
          inherit (config.boot.initrd.systemd.targets.initrd.unitConfig) JobTimeoutSec JobTimeoutAction;
        };
        emergencyMode = config.systemd.enableEmergencyMode;
        # Which targets want or require the units.
        units = nixpkgs.lib.mapAttrs (_: unit: unit.wantedBy ++ unit.requiredBy) (
          nixpkgs.lib.filterAttrs (name: _: nixpkgs.lib.hasPrefix "boot-trial" name) config.systemd.services
        );
      };
      image = {
        inherit (config.image) baseName filePath;
        firmwareMiB = config.raspberryPi.firmware.sizeMiB;
      };
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
  # Variants of the host `second`: their warnings, and what the tool finds of logins and Wi-Fi.
  waysIn =
    let
      inherit (nixpkgs.lib) mkForce;
      layoutOf =
        import ../../src/nix/flake/layout.nix (import ../../src/nix/flake/logins.nix)
          (import ../../src/nix/flake/wifi.nix)
          (import ../../src/nix/flake/values.nix);
      factsOf =
        module:
        let
          inherit (others.nixosConfigurations.second.extendModules { modules = [ module ]; }) config;
          layout = layoutOf config;
        in
        complaints config
        // {
          inherit (layout) logins wifi;
          iwd = builtins.filter (nixpkgs.lib.hasInfix "iwd") (
            map (moved: "${moved.path} ${moved.source}") layout.moved
          );
        };
      noWireless.networking.wireless = {
        enable = mkForce false;
        networks = mkForce { };
      };
    in
    builtins.mapAttrs (_: factsOf) {
      blank = { };
      key.users.users.somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
      keyFile.users.users.somebody.openssh.authorizedKeys.keyFiles = [
        (builtins.toFile "key.pub" "ssh-ed25519 AAAA file\n")
      ];
      comment.users.users.somebody.openssh.authorizedKeys.keys = [ "# none" ];
      garbage.users.users.somebody.openssh.authorizedKeys.keys = [ "/home/me/.ssh/id_ed25519.pub" ];
      options.users.users.somebody.openssh.authorizedKeys.keys = [ "restrict,pty sk-ssh-ed25519@openssh.com AAAA me" ];
      # Nobody logs in as root, but the key is in the store.
      privateKeyOfRoot.users.users = {
        somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
        root.openssh.authorizedKeys.keys = [ "PuTTY-User-Key-File-3: ssh-ed25519" ];
      };
      privateKey.users.users.somebody.openssh.authorizedKeys.keyFiles = [
        (builtins.toFile "id" "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA\n-----END OPENSSH PRIVATE KEY-----\n")
      ];
      denied = {
        users.users.somebody.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA me" ];
        services.openssh.settings.AllowUsers = [ "other" ];
      };
      root = {
        users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA root" ];
        services.openssh.settings.PermitRootLogin = mkForce "prohibit-password";
      };
      deniedRoot.users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA root" ];
      password = {
        services.openssh.settings.PasswordAuthentication = mkForce true;
        users.users.guest = {
          isNormalUser = true;
          initialPassword = "x";
        };
      };
      noSshd.services.openssh.enable = mkForce false;
      meant.users.allowNoPasswordLogin = true;
      iwd = {
        imports = [ noWireless ];
        raspberryPi.wifi = {
          enable = true;
          country = "DE";
        };
      };
      networkManager = {
        imports = [ noWireless ];
        networking.networkmanager.enable = true;
      };
      noWifi = noWireless;
      unreadable.systemd.tmpfiles.rules = mkForce [ ];
    };
  # A host that backs its state up, as docs/restore.md has it.
  backup =
    let
      saved = flake.nixosConfigurations.stinky.extendModules {
        modules = [
          {
            raspberryPi.backup = {
              enable = true;
              repository = "sftp:backup@nas.lan:/backups/pis";
              exclude = [ "/nix/persist/var/lib/octoprint/timelapse" ];
            };
          }
        ];
      };
      both = saved.extendModules {
        modules = [ { raspberryPi.backup.repositoryFile = "/nix/persist/etc/restic/repository"; } ];
      };
      inherit (saved) config;
      unit = config.systemd.services.restic-backups-state;
    in
    complaints config
    // {
      command = builtins.unsafeDiscardStringContext (toString unit.serviceConfig.ExecStart);
      environment = {
        inherit (unit.environment) RESTIC_CACHE_DIR RESTIC_PASSWORD_FILE RESTIC_REPOSITORY;
      };
      timer = config.systemd.timers.restic-backups-state.timerConfig;
      persisted = (pi config).persisted.directories;
      exclude = config.services.restic.backups.state.exclude;
      toplevel = config.system.build.toplevel.drvPath;
      failedWithBoth = (complaints both.config).failed;
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
    (import ../../src/deploy/desired/node.nix
      {
        isAddressGiven = true;
        makeProfile = import ../../src/deploy/desired/profile.nix;
      }
      "stinky"
      { inherit (flake) nixosConfigurations; }
    ).node;
  packages = builtins.mapAttrs (_: derivations) flake.packages;
  checks = builtins.mapAttrs (_: derivations) flake.checks;
  shells = builtins.mapAttrs (_: derivations) flake.devShells;
  formatters = derivations flake.formatter;
  toplevel = config.system.build.toplevel.drvPath;
  # The script that a switch runs to write the boot menu, and nixpkgs' program that it calls, with its arguments.
  installBootLoader = builtins.unsafeDiscardStringContext config.system.build.installBootLoader.text;
  menuWriter = builtins.unsafeDiscardStringContext config.raspberryPi.trial.menuWriter;
}
