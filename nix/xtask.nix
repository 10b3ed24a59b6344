# The tool of this repository as a package.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  dpkg,
  git,
  mtools,
  openssh,
}:
rustPlatform.buildRustPackage {
  pname = "xtask";
  inherit ((lib.importTOML ../xtask/Cargo.toml).package) version;

  src = lib.fileset.toSource {
    root = ../.;
    # The unit tests also read the documents, and the files that the documents name.
    fileset = lib.fileset.unions [
      ../CHANGELOG.md
      ../CONTRIBUTING.md
      ../Cargo.lock
      ../Cargo.toml
      ../README.md
      ../SECURITY.md
      ../docs
      ../hosts
      ../nix
      ../templates
      ../xtask
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  # `nix flake check` runs the unit tests: who runs the package need not wait for them. The suites need root, devices and
  # Nix itself; `cargo xtask test` runs them.
  doCheck = false;
  cargoTestFlags = [ "--lib" ];
  nativeCheckInputs = [
    dpkg
    git
    mtools
    openssh
  ];
  # Those that `cargo test` ignores for want of programs run here; those that need root or an emulator do not. In Nix's
  # sandbox nobody may set a set-user-ID bit, and no program belongs to root.
  checkFlags = [
    "--include-ignored"
    "--skip=as_root::"
    "--skip=every_program_exits_as_expected"
    "--skip=a_file_that_is_given_to_root_loses_its_setuid_bits"
    "--skip=folders_files_and_links_are_read"
    "--skip=only_programs_that_root_alone_can_change_are_trusted"
  ];

  nativeBuildInputs = [ installShellFiles ];
  # The program prints its own scripts and pages, by the name that users call.
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    export PATH=$out/bin:$PATH
    for shell in bash zsh fish; do
      xtask completions $shell > xtask.$shell
    done
    installShellCompletion xtask.{bash,zsh,fish}
    xtask __man-pages man
    installManPage man/*.1
  '';

  meta = {
    description = "Takes a Raspberry Pi from a NixOS flake to a running, verified host";
    license = lib.licenses.mit;
    mainProgram = "xtask";
    platforms = lib.platforms.linux;
  };
}
