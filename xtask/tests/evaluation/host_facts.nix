# The facts of one host, as functions of its configuration.
nixpkgs: rec {
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
    nix = {
      trustedUsers = config.nix.settings.trusted-users;
      # That of nixpkgs is left out.
      trustedKeys = builtins.filter (
        key: !nixpkgs.lib.hasPrefix "cache.nixos.org-1:" key
      ) config.nix.settings.trusted-public-keys;
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
}
