# Overlays and parameters in config.txt that would not reach the kernel.
#
# The firmware applies them to its own device tree. U-Boot uses that one itself, but gives the kernel the device tree of
# its generation, which comes from the mainline kernel.
{ config, lib, ... }:
let
  inherit (config.hardware.raspberry-pi) configtxt;
  loader = config.boot.loader.generic-extlinux-compatible;

  # The settings that do nothing but change the device tree of the firmware.
  treeSettings = [
    "camera_auto_detect"
    "device_tree_overlay"
    "device_tree_param"
    "display_auto_detect"
    "dtoverlay"
    "dtparam"
  ];
  # What such a setting has where it changes nothing.
  unset = [
    null
    false
    0
    "0"
    ""
  ];

  # sectionsOf IS_LEAF TREE: the leaves of TREE, each with its section of config.txt, such as `[pi4]`.
  sectionsOf =
    isLeaf: section: tree:
    lib.concatLists (
      lib.mapAttrsToList (
        name: value:
        if isLeaf value then
          [ { inherit section name value; } ]
        else
          sectionsOf isLeaf "${section}[${name}]" value
      ) tree
    );

  ofSettings =
    let
      all = sectionsOf (value: !lib.isAttrs value) "" configtxt.settings;
      ofTree = lib.filter ({ name, ... }: lib.elem name treeSettings) all;
      set = value: lib.subtractLists unset (lib.toList value);
      text = value: if value == true then "1" else toString value;
    in
    lib.concatMap (
      {
        section,
        name,
        value,
      }:
      map (value: "${section} ${name}=${text value}") (set value)
    ) ofTree;
  ofOverlays =
    let
      all = sectionsOf lib.isList "" configtxt.deviceTreeOverlays;
      overlay = entry: lib.head (lib.attrNames entry);
    in
    lib.concatMap (
      {
        section,
        name,
        value,
      }:
      map (entry: "${section}[${name}] dtoverlay=${overlay entry}") value
    ) all;
  lines = ofSettings ++ ofOverlays;
in
{
  options.raspberryPi.firmware.overlaysForUBoot = lib.mkOption {
    type = lib.types.bool;
    default = false;
    description = ''
      Whether the overlays and parameters in config.txt are meant for U-Boot alone, as those of its serial port are. The
      kernel gets its own device tree, which they do not change.
    '';
  };

  config.assertions = [
    {
      assertion =
        lines == [ ] || !loader.useGenerationDeviceTree || config.raspberryPi.firmware.overlaysForUBoot;
      message = ''
        hardware.raspberry-pi.configtxt changes the device tree of the firmware, and the kernel gets another one, that
        of its generation. These lines would not reach the kernel:
        ${lib.concatMapStringsSep "\n" (line: "  ${line}") lines}
        hardware.deviceTree.overlays changes the device trees of the mainline kernel. The kernel of the Raspberry Pi
        foundation can take that of the firmware:
        boot.loader.generic-extlinux-compatible.useGenerationDeviceTree = false. For lines that are meant for U-Boot
        alone there is raspberryPi.firmware.overlaysForUBoot = true.
      '';
    }
  ];
}
