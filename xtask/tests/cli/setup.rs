//! `setup --dry-run`: what would be installed, on machines of several distributions.

use serde_json::{Value, json};

use crate::support::{Outcome, Sandbox};

/// Runs `setup --dry-run` with `args` on a machine whose os-release is `release`, in mounts of its own.
fn dry_run(sandbox: &Sandbox, release: &str, args: &[&str]) -> Outcome {
    let file = sandbox.path("os-release");
    std::fs::write(&file, release).expect("writing a file");
    // The /nix of this machine may belong to another user.
    let script = format!(
        "/usr/bin/mount --bind '{}' /etc/os-release; [ ! -d /nix ] || /usr/bin/mount -t tmpfs none /nix; exec \"$@\"",
        file.display()
    );
    let wrapper =
        ["/usr/bin/unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-ec", &script, "sh"];
    sandbox.xtask(&[&["setup", "--dry-run"], args].concat()).wrapped_in(&wrapper).run()
}

/// A sandbox whose programs that install something only record that they were run.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_fakes_only();
    for program in ["apt-get", "env", "cargo", "sudo", "install", "awk"] {
        let is_there = sandbox.path("bin").join(program).exists();
        if !is_there {
            sandbox.fake(program, "exit 1");
        }
    }
    sandbox
}

#[test]
#[ignore = "needs user namespaces: run `cargo xtask test`"]
fn a_dry_run_shows_the_steps_and_changes_nothing() {
    let sandbox = sandbox();
    let outcome = dry_run(&sandbox, "ID=debian\n", &[]);
    let step = "install a recent Nix for this project only";
    outcome
        .assert_code(0)
        .assert_stderr_contains("setup: steps to do: ")
        .assert_stderr_contains(format!("\n  - {step}\n"))
        .assert_stderr_contains("next: cargo xtask setup\n")
        .assert_stdout_contains("would be done; nothing was changed\n");
    let outcome = dry_run(&sandbox, "ID=debian\n", &["--json", "--boot"]);
    let result = outcome.assert_code(0).json();
    assert_eq!((&result["dry_run"], &result["configuration"]), (&json!(true), &Value::Null));
    assert_eq!(result["setup"]["done"], json!([]));
    let steps = result["setup"]["steps"].as_array().unwrap();
    let nix = steps.iter().find(|found| found["step"] == step).unwrap();
    assert_eq!(nix["root_commands"], json!([]));
    assert!(!sandbox.path("tools").join("nix").exists());
    for program in ["apt-get", "env", "cargo", "sudo", "install", "awk"] {
        assert_eq!(sandbox.calls(program).len(), 0, "{program}");
    }
}

#[test]
#[ignore = "needs user namespaces: run `cargo xtask test`"]
fn a_dry_run_on_another_system_shows_what_to_do_by_hand() {
    let sandbox = sandbox();
    let outcome = dry_run(&sandbox, "ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n", &[]);
    outcome
        .assert_code(3)
        .assert_stderr_contains("setup changes only Debian and Ubuntu, and this is Fedora Linux 42\n")
        .assert_stderr_contains("  - install a recent Nix for this project only\n");
    let outcome = dry_run(&sandbox, "ID=nixos\n", &[]);
    outcome.assert_code(0).assert_stdout_contains("boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];");
}
