# The SD image of a NixOS configuration of any flake, assembled by the tools of `pkgs`: those of the host by
# default, those of a workstation where nothing but the closure should be built under emulation.
{ self }:
configuration:
{
  pkgs ? configuration.pkgs,
}:
let
  # A configuration without the module gets it: the image has its layout.
  withModule =
    if configuration.options ? raspberryPi then
      configuration
    else
      configuration.extendModules { modules = [ self.nixosModules.raspberry-pi ]; };
in
withModule.config.system.build.sdImageAssembledBy pkgs
