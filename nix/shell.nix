# The programs for work on this repository: `nix develop`.
{
  mkShell,
  cargo,
  clippy,
  deploy-rs,
  dosfstools,
  e2fsprogs,
  mtools,
  nixfmt,
  openssh,
  rustc,
  rustfmt,
  util-linux,
  zstd,
}:
mkShell {
  packages = [
    cargo
    clippy
    deploy-rs
    dosfstools
    e2fsprogs
    mtools
    nixfmt
    openssh
    rustc
    rustfmt
    util-linux
    zstd
  ];
}
