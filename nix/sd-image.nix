# The SD image of a NixOS configuration of any flake, assembled by the tools of `pkgs`. The default are the packages of
# the host; pass those of a workstation where nothing but the closure should be built under emulation.
{ self }:
configuration:
{
  pkgs ? configuration.pkgs,
}:
let
  # A configuration without the module gets it, as the module defines the layout of the image.
  withModule =
    if configuration.options ? raspberryPi then
      configuration
    else
      configuration.extendModules { modules = [ self.nixosModules.raspberry-pi ]; };
in
withModule.config.system.build.sdImageAssembledBy pkgs
