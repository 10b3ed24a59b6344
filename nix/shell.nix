# The programs for work on this repository: `nix develop`.
{
  mkShell,
  aarch64,
  cargo,
  clippy,
  deploy-rs,
  dosfstools,
  e2fsprogs,
  mtools,
  nixfmt,
  openssh,
  qemu,
  rustc,
  rustfmt,
  util-linux,
  zstd,
}:
mkShell {
  # The U-Boot of the machine that `cargo xtask boot` emulates: a file for AArch64, whatever this machine is.
  XTASK_UBOOT = "${aarch64.ubootQemuAarch64}/u-boot.bin";
  packages = [
    cargo
    clippy
    deploy-rs
    dosfstools
    e2fsprogs
    mtools
    nixfmt
    openssh
    qemu
    rustc
    rustfmt
    util-linux
    zstd
  ];
}
