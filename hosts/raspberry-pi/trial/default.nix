# A new generation is booted once, on trial, and becomes the default of the boot menu only if it is blessed.
#
# It needs U-Boot with its standard boot (2022.07 or newer), an MBR, and a boot menu on ext4: see docs/trial-boots.md.
{
  config,
  lib,
  pkgs,
  modulesPath,
  ...
}:
let
  cfg = config.raspberryPi.trial;
  loader = config.boot.loader.generic-extlinux-compatible;
  # The command that writes a boot menu with that number of generations beside the default.
  menuWriterFor =
    generations:
    import ./menu-writer.nix {
      inherit
        config
        generations
        lib
        modulesPath
        pkgs
        ;
    };

  # The folder with the scripts of a trial, boot.scr, and the flag: set in trial.env, blank in no-trial.env. The package
  # set `tools` makes the folder.
  filesWith =
    tools:
    tools.runCommand "boot-trial" { } ''
      mkdir "$out"
      cp ${./fat.sh} "$out/fat.sh"
      cp ${./menu.sh} "$out/menu.sh"
      cp ${./flag.sh} "$out/flag.sh"
      cp ${./install.sh} "$out/install.sh"
      cp ${./trial.sh} "$out/trial.sh"
      cp ${./wait.sh} "$out/wait.sh"
      sh ${./boot-script.sh} ${./boot.cmd} >"$out/boot.scr"
      sh ${./trial-flag.sh} nixos-trial >"$out/trial.env"
      head -c 512 /dev/zero >"$out/no-trial.env"
    '';

  checks = pkgs.linkFarm "boot-trial-checks" (
    lib.mapAttrs (name: text: pkgs.writeShellScript name "set -eu\n${text}") cfg.healthChecks
  );

  boot-trial = pkgs.writeShellScriptBin "boot-trial" ''
    export PATH=${
      lib.makeBinPath [
        config.systemd.package
        pkgs.coreutils
        pkgs.diffutils
        pkgs.gawk
        pkgs.gnugrep
        pkgs.gnused
        pkgs.util-linux
      ]
    }
    export boot=${lib.escapeShellArg cfg.bootPath}
    export firmware=${lib.escapeShellArg cfg.firmwarePath}
    export menu_writer=${lib.escapeShellArg cfg.menuWriter}
    export single_menu_writer=${lib.escapeShellArg (menuWriterFor 0)}
    export within=${toString cfg.confirmWithin}
    export by=${cfg.by}
    export lib=${filesWith pkgs}
    export checks=${checks}
    export gcroots=/nix/var/nix/gcroots
    exec ${pkgs.runtimeShell} "$lib/trial.sh" "$@"
  '';

  units = pkgs.runCommand "boot-trial-units" { } ''
    mkdir -p "$out/etc/systemd/system"
    for unit in ${./units}/*; do
      substitute "$unit" "$out/etc/systemd/system/$(basename "$unit")" \
        --subst-var-by boot-trial ${lib.getExe boot-trial} \
        --subst-var-by dd ${pkgs.coreutils}/bin/dd \
        --subst-var-by state ${lib.escapeShellArg "${lib.replaceStrings [ "%" ] [ "%%" ] cfg.bootPath}/trial"}
    done
  '';
in
{
  options.raspberryPi.trial = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether a new generation is booted on trial before it becomes the default.";
    };
    by = lib.mkOption {
      type = lib.types.enum [
        "deployer"
        "self"
      ];
      default = "self";
      description = ''
        Who blesses a generation that no deploy waits for, after `nixos-rebuild` or a power cut: the host by its own
        checks, or a deployer with `boot-trial bless`. A deploy that reboots the host blesses it in either case.
      '';
    };
    confirmWithin = lib.mkOption {
      type = lib.types.ints.between 60 86400;
      default = 600;
      description = "How many seconds after the start of its kernel a host goes back, unless the trial was blessed.";
    };
    healthChecks = lib.mkOption {
      type = lib.types.attrsOf lib.types.lines;
      default = { };
      example = {
        octoprint = "systemctl is-active octoprint.service";
      };
      description = "Scripts that must succeed before a generation is blessed. One that fails sends the host back.";
    };
    milestones = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [
        "sysinit.target"
        "network.target"
      ]
      ++ lib.optional config.services.openssh.enable (
        if config.services.openssh.startWhenNeeded then "sshd.socket" else "sshd.service"
      );
      defaultText = lib.literalMD "the basic system, the network and sshd";
      description = "Units whose start a trial notes, to show how far a trial came before a panic or a hang.";
    };
    watchdog = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      # The watchdog of a Pi counts to at most 15 s.
      default = "15s";
      description = ''
        How long systemd may give no sign of life before the watchdog resets the Pi, in the initrd too. `null` where the
        watchdog must stay closed: the machine `raspi3b` of QEMU resets at once (or boot with `systemd.watchdog_sec=0`).
      '';
    };
    bootPath = lib.mkOption {
      type = lib.types.str;
      default = (lib.head loader.mirroredBoots).path;
      defaultText = lib.literalMD "the first path of the boot loader";
      description = "The folder with the boot menu. It is mounted in the initrd.";
    };
    firmwarePath = lib.mkOption {
      type = lib.types.str;
      default = "/boot/firmware";
      description = "Where FIRMWARE is mounted, always or on demand.";
    };
    menuWriter = lib.mkOption {
      type = lib.types.str;
      internal = true;
      readOnly = true;
      default = menuWriterFor loader.configurationLimit;
      defaultText = lib.literalMD "nixpkgs' program, with the arguments of the boot loader's options";
      description = "The command that writes a boot menu, without `-c` (its system) and `-d` (its folder).";
    };
    filesWith = lib.mkOption {
      type = lib.types.functionTo lib.types.package;
      internal = true;
      readOnly = true;
      default = filesWith;
      description = "The function that makes the folder with boot.scr and the flags, with the package set that it gets.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = loader.enable && lib.length loader.mirroredBoots == 1;
        message = "raspberryPi.trial needs boot.loader.generic-extlinux-compatible with one path in mirroredBoots.";
      }
    ];

    system.build.installBootLoader = lib.mkForce (
      pkgs.writeShellScript "install-boot-menu" ''exec ${lib.getExe boot-trial} install "$1"''
    );
    environment.systemPackages = [ boot-trial ];

    systemd = {
      packages = [ units ];
      services = {
        boot-trial-begin.wantedBy = [ "sysinit.target" ];
        boot-trial-deadline.wantedBy = [ "sysinit.target" ];
        boot-trial-health.requiredBy = [ "boot-complete.target" ];
        boot-trial-complete.wantedBy = [ "basic.target" ];
      }
      // lib.listToAttrs (
        map (unit: {
          name = "boot-trial-mark@${unit}";
          value = {
            wantedBy = [ "basic.target" ];
            overrideStrategy = "asDropin";
          };
        }) cfg.milestones
      );
      # Nobody sees the emergency shell of a Pi without a screen: the trial must end instead.
      enableEmergencyMode = lib.mkDefault false;
      settings.Manager = lib.mkIf (cfg.watchdog != null) {
        RuntimeWatchdogSec = lib.mkDefault cfg.watchdog;
      };
    };

    boot = {
      kernelParams = [
        # After a panic the kernel reboots, and U-Boot starts DEFAULT.
        "panic=10"
        # An initrd that fails makes the kernel panic.
        "boot.panic_on_fail"
      ];
      initrd = {
        systemd = {
          settings.Manager = lib.mkIf (cfg.watchdog != null) {
            RuntimeWatchdogSec = lib.mkDefault cfg.watchdog;
          };
          # Ends a boot whose initrd waits for ever: systemd feeds the watchdog meanwhile, and the unit of the
          # deadline starts only after the initrd.
          targets.initrd.unitConfig = {
            JobTimeoutSec = lib.mkDefault cfg.confirmWithin;
            JobTimeoutAction = lib.mkDefault "reboot-force";
          };
        };
        # The watchdog resets the board after a panic, too.
        kernelModules = [ "bcm2835_wdt" ];
      };
    };
  };
}
