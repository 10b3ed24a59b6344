# deploy-rs's library for a system, around the binary of nixpkgs. The binary of deploy-rs's own flake is in no public
# cache: for a Pi it would be compiled under emulation.
{ inputs }:
system:
let
  pkgs = inputs.nixpkgs.legacyPackages.${system};
  binaryOfNixpkgs = _: prev: {
    deploy-rs = {
      inherit (pkgs) deploy-rs;
      inherit (prev.deploy-rs) lib;
    };
  };
in
(pkgs.appendOverlays [
  inputs.deploy-rs.overlays.default
  binaryOfNixpkgs
]).deploy-rs.lib
