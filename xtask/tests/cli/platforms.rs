//! `sd-image` for this system and for others: refusals.

use tempfile::TempDir;

use crate::fake_build::{SD_IMAGE_ARGS, build_with_files};
use crate::fake_nix::{Answers, config_json, image_json, print_script};

/// Answers with a flake whose only image is for `system`, and with the settings of nix.
fn answers_for_system(system: &str, extra_platforms: &str, builders: &str) -> (Answers, TempDir) {
    let (answers, out) = build_with_files(&["a.img"]);
    (
        Answers {
            image: print_script(&image_json(system)),
            config: print_script(&config_json(extra_platforms, builders)),
            ..answers
        },
        out,
    )
}

#[test]
fn a_system_that_cannot_be_built_here_is_refused_before_the_build() {
    for (system, builders, hint) in [
        // It depends on the machine whether the kernel runs such programs; the hint names the system in any case.
        ("riscv64-linux", "", "`boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];`"),
        ("riscv64-linux", "@/no/such/file", "`extra-platforms = riscv64-linux`"),
        ("s390x-linux", "", "add a machine that builds for s390x-linux to /etc/nix/machines\n"),
    ] {
        let (answers, _out) = answers_for_system(system, "[]", builders);
        let nix = answers.install();
        let outcome = nix.run(SD_IMAGE_ARGS);
        outcome.assert_code(3).assert_stdout("");
        outcome
            .assert_stderr_contains(format!("error: this machine cannot build for {system}: "))
            .assert_stderr_contains(hint);
        assert!(!outcome.stderr.contains("aarch64"), "{}", outcome.stderr);
        assert!(!nix.nix_calls().iter().any(|call| call.starts_with("build --json")));
    }
    let (answers, _out) = answers_for_system("riscv64-linux", "[]", "ssh://far riscv64-linux");
    answers.install().run(SD_IMAGE_ARGS).assert_code(0);
}

/// What is in the store, or in a cache of Nix, needs nobody who builds it. Where Nix does not answer what it would
/// build, the system is refused.
#[test]
fn a_system_that_cannot_be_built_here_is_no_obstacle_where_nothing_is_to_be_built() {
    for (system, extra_platforms) in
        [("riscv64-linux", "[]"), ("s390x-linux", "[]"), ("s390x-linux", r#"["s390x-linux"]"#)]
    {
        let (answers, _out) = answers_for_system(system, extra_platforms, "");
        let nix = answers.install_with("*' build --dry-run '*", "echo 'this path will be fetched:' >&2");
        let outcome = nix.run(SD_IMAGE_ARGS);
        outcome.assert_code(0);
        assert!(!outcome.stderr.contains("this machine can"), "{}", outcome.stderr);
    }
    let (answers, _out) = answers_for_system("riscv64-linux", "[]", "");
    for answer in ["exit 1", "echo \"don't know how to build these paths:\" >&2"] {
        let nix = answers.install_with("*' build --dry-run '*", answer);
        nix.run(SD_IMAGE_ARGS).assert_code(3);
    }
}

#[test]
fn a_system_in_extra_platforms_without_a_probe_is_built_with_a_warning() {
    let (answers, _out) = answers_for_system("s390x-linux", r#"["s390x-linux"]"#, "");
    let outcome = answers.install().run(SD_IMAGE_ARGS);
    outcome.assert_code(0);
    outcome.assert_stderr_contains(
        "warning: whether this machine can build for s390x-linux is unknown, so the build may fail: nix.conf lists it in extra-platforms; \
         whether the kernel runs its programs is unknown\n",
    );
}
