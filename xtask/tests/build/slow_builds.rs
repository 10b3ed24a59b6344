//! A build that takes hours by emulation is asked about.

use std::fs;

use crate::support::{Outcome, Sandbox};

/// A sandbox with a flake whose image needs a foreign kernel. The builder is a program of this machine: only the
/// system of the kernel's derivation is foreign.
fn sandbox_with_kernel() -> Sandbox {
    let sandbox = Sandbox::new();
    let salt = sandbox.path("flake").display().to_string();
    let flake = format!(
        r#"{{ outputs = {{ self }}: let
  sh = name: system: more: derivation ({{ inherit name system; builder = "/bin/sh"; args = [ "-c" "echo {salt} >$out" ]; }} // more);
  kernel = sh "linux-6.12.3" "aarch64-linux" {{ }};
in {{ packages.x86_64-linux.pi-sdImage = sh "nixos-sd-image-pi" "x86_64-linux" {{ inherit kernel; }}; }}; }}"#
    );
    fs::write(sandbox.path("flake/flake.nix"), flake).unwrap();
    sandbox
}

fn sd_image(sandbox: &Sandbox, more: &[&str]) -> Outcome {
    let flake = sandbox.path("flake").display().to_string();
    sandbox.run(&[&["--flake", &flake, "sd-image", "pi"], more].concat())
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn a_kernel_by_emulation_is_refused_unless_somebody_agrees() {
    let sandbox = sandbox_with_kernel();
    let planned = sd_image(&sandbox, &["--plan"]);
    let builds =
        "build   2 derivations: 1 for aarch64-linux by emulation, 1 for x86_64-linux\nheavy   linux-6.12.3\n";
    assert!(planned.assert_code(0).stdout.starts_with(builds), "{planned:?}");
    sd_image(&sandbox, &[])
        .assert_code(3)
        .assert_stderr_contains("plan    2 derivations, 1 by emulation\n")
        .assert_stderr_contains("linux-6.12.3 would be built by emulation here, which takes hours\n")
        .assert_stderr_contains("or add --allow-slow-builds");
    // Where somebody agrees, the build begins: it makes no image, which is another error.
    let built = sd_image(&sandbox, &["--allow-slow-builds"]);
    built.assert_code(1).assert_stderr_contains("the build made no image");
}

#[test]
#[ignore = "needs Nix and AArch64 emulation: run `cargo xtask test`"]
fn a_terminal_is_asked_before_a_kernel_is_built_by_emulation() {
    for (answer, code, text) in
        [("n\n", 3, "stopped; nothing was built"), ("y\n", 1, "the build made no image")]
    {
        let sandbox = sandbox_with_kernel();
        let flake = sandbox.path("flake").display().to_string();
        let mut terminal = sandbox.xtask(&["--flake", &flake, "sd-image", "pi"]).on_terminal();
        terminal.wait_for("[y/N]");
        terminal.type_keys(answer);
        terminal.finish().assert_code(code).assert_stderr_contains(text);
    }
}
