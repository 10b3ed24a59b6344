//! `doctor`: the requirements of this machine, with a remedy for those that are missing.

use crate::fake_nix::{Answers, FakeNix, config_json, fail_script, print_script, system};
use crate::support::Sandbox;

/// Answers with a remote builder, so that the result does not depend on the programs that this machine can run.
fn answers_with_remote_builder() -> Answers {
    let remote = config_json("[]", "ssh://pi aarch64-linux");
    Answers {
        config: print_script(&remote.replace(&format!("\"{}\"", system()), "\"other\"")),
        ..Answers::default()
    }
}

/// The hint of a machine that lacks something.
const SETUP: &str = "hint: `cargo xtask setup` installs what it can; each of the others names its remedy\n";

#[test]
fn doctor_passes_if_no_requirement_is_missing() {
    let nix = answers_with_remote_builder().install();
    for program in ["ssh", "ssh-keygen", "deploy", "debugfs", "e2fsck", "e2image"] {
        nix.fake(program, "exit 99");
    }
    let outcome = nix.run(&["doctor"]);
    let bin = nix.path("bin").display().to_string();
    let expected = format!(
        "    NEEDED         FOUND\nok  nix            Nix 2.34.8, {bin}/nix: first on PATH\nok  aarch64-linux  by a remote builder\n\
         ok  debugfs        {bin}/debugfs\nok  ssh-keygen     {bin}/ssh-keygen\n\
         ok  ssh            {bin}/ssh\nok  deploy-rs      {bin}/deploy\nok  ssh://pi       answers\n"
    );
    outcome.assert_code(0).assert_stdout(expected);
    outcome.assert_stderr("next: cargo xtask\n  shows where things stand\n");
    assert!(nix.nix_calls().contains(&"config show --json".to_owned()));
}

/// With an inherited `trap '' CHLD` the kernel discards the exit codes of children.
#[test]
fn doctor_works_with_sigchld_ignored_by_its_parent() {
    let nix = answers_with_remote_builder().install();
    for program in ["ssh", "ssh-keygen", "deploy", "debugfs", "e2fsck", "e2image"] {
        nix.fake(program, "exit 99");
    }
    let shell = ["/bin/bash", "-c", "trap '' CHLD; exec \"$0\" \"$@\""];
    let outcome = nix.xtask(&["doctor"]).wrapped_in(&shell).run();
    assert!(outcome.assert_code(0).stdout.contains("ok  nix            Nix 2.34.8, "), "{outcome:?}");
}

#[test]
fn nix_2_18_is_queried_by_show_config() {
    let nix = Answers { version: "nix (Nix) 2.18.9", ..answers_with_remote_builder() }.install();
    nix.run(&["doctor"]);
    assert!(nix.nix_calls().contains(&"show-config --json".to_owned()));
}

#[test]
fn missing_requirements_are_listed_with_their_remedies() {
    let outcome = Sandbox::with_fakes_only().run(&["doctor"]);
    let expected = "         NEEDED         FOUND
MISSING  nix            no nix on PATH; run `cargo xtask setup`
MISSING  aarch64-linux  unknown without nix
MISSING  ssh-keygen     there is no ssh-keygen on PATH; run `cargo xtask setup`
MISSING  ssh            there is no ssh on PATH; run `cargo xtask setup`
MISSING  deploy-rs      there is no deploy on PATH; run `cargo xtask setup`
";
    // debugfs is also found in the folders of Debian, which the suite `device` hides.
    let (debugfs_lines, other_lines) =
        outcome.assert_code(3).stdout.lines().partition::<Vec<_>, _>(|line| line.contains("  debugfs  "));
    assert_eq!(other_lines.join("\n") + "\n", expected);
    let missing = 5 + debugfs_lines.iter().filter(|line| line.starts_with("MISSING")).count();
    assert_eq!(debugfs_lines.len(), 1);
    assert_eq!(outcome.stderr, format!("error: {missing} of 6 requirements are missing\n{SETUP}"));
}

#[test]
fn doctor_prints_json() {
    let nix = answers_with_remote_builder().install();
    for program in ["ssh", "ssh-keygen", "debugfs", "e2fsck", "e2image"] {
        nix.fake(program, "exit 99");
    }
    let outcome = nix.run(&["--json", "doctor"]);
    let found = outcome.assert_code(3).json();
    assert_eq!(
        found["requirements"][1],
        serde_json::json!({
            "name": "aarch64-linux", "met": true, "message": "by a remote builder", "hint": null
        })
    );
    assert_eq!(
        (&found["requirements"][5]["name"], &found["requirements"][5]["met"]),
        (&"deploy-rs".into(), &false.into())
    );
    assert_eq!(outcome.json_error()["message"], "1 of 7 requirements is missing");
    assert_eq!(
        found["nix"],
        serde_json::json!({
            "path": nix.path("bin/nix"), "implementation": "nix", "version": "2.34.8", "is_of_setup": false,
            "message": "first on PATH"
        })
    );
}

#[test]
fn the_nix_of_setup_is_used_where_that_on_path_is_too_old() {
    let nix = Answers { version: "nix (Nix) 2.8.0", ..answers_with_remote_builder() }.install();
    let file = nix.path("bin/nix");
    let recent =
        std::fs::read_to_string(&file).unwrap().replace("nix (Nix) 2.8.0", "nix (Lix, like Nix) 2.93.0");
    let installed = nix.path("tools/nix/bin/nix");
    std::fs::create_dir_all(installed.parent().unwrap()).unwrap();
    std::fs::copy(&file, &installed).unwrap();
    std::fs::write(&installed, recent).unwrap();
    let found = nix.run(&["--json", "doctor"]).json()["nix"].clone();
    let message =
        format!("installed by `setup`; not {}: nix 2.8 is too old: 2.18 or newer is needed", file.display());
    assert_eq!(
        found,
        serde_json::json!({
            "path": installed, "implementation": "lix", "version": "2.93.0", "is_of_setup": true, "message": message
        })
    );
    std::fs::remove_file(&installed).unwrap();
    let outcome = nix.run(&["--json", "doctor"]);
    let found = outcome.assert_code(3).json();
    assert_eq!(found["requirements"][0]["message"], "nix 2.8 is too old: 2.18 or newer is needed");
    assert_eq!(
        (&found["nix"]["version"], &found["nix"]["message"]),
        (&"2.8.0".into(), &"first on PATH".into())
    );
}

#[test]
fn unreadable_nix_settings_are_listed_with_the_error() {
    let nix = Answers { config: fail_script("error: bad nix.conf"), ..Answers::default() }.install();
    let outcome = nix.run(&["doctor"]);
    let error = "nix --extra-experimental-features nix-command flakes config show --json failed with exit code 1: error: bad nix.conf";
    assert!(
        outcome.assert_code(3).stdout.contains(&format!("MISSING  aarch64-linux  {error}\n")),
        "{}",
        outcome.stdout
    );
}

/// A nix that builds nothing itself and has `builders`, which answer by `script`.
fn nix_with_builders(builders: &str, script: &str) -> FakeNix {
    let settings = config_json("[\"aarch64-linux\"]", builders)
        .replace("{\"system\"", "{\"max-jobs\":{\"value\":0},\"system\"");
    let nix = Answers { config: print_script(&settings), ..Answers::default() }
        .install_with("*' store ping '*", script);
    for program in ["ssh", "ssh-keygen", "deploy", "debugfs", "e2fsck", "e2image"] {
        nix.fake(program, "exit 99");
    }
    nix
}

#[test]
fn a_nix_without_local_builds_and_builders_is_not_ok_and_builds_no_image() {
    let nix = nix_with_builders("@/no/such/file", "exit 98");
    let expected = "MISSING  aarch64-linux  nix builds nothing here (`max-jobs = 0`), and no remote builder builds \
                    for it; set `max-jobs = auto` in /conf/nix.conf, or add a machine that builds for \
                    aarch64-linux to /etc/nix/machines\n";
    let outcome = nix.xtask(&["doctor"]).env("NIX_CONF_DIR", "/conf").run();
    assert!(outcome.assert_code(3).stdout.contains(expected), "{}", outcome.stdout);
    nix.run(&["sd-image", "stinky"]).assert_stderr_contains("this machine cannot build for ").assert_code(3);
}

#[test]
fn builders_are_asked_with_the_options_of_their_lines() {
    let script = "echo \"$NIX_SSHOPTS\" >>\"$HOME/options\"";
    let nix = nix_with_builders(
        "root@a aarch64-linux /k 2 1 - - aG9zdA== ; ssh-ng://b?compress=true aarch64-linux",
        script,
    );
    nix.xtask(&["doctor"]).env("NIX_SSHOPTS", "-p 2222").run().assert_code(0);
    let calls = nix.nix_calls();
    let asked = calls.iter().filter(|call| call.starts_with("store ping")).collect::<Vec<_>>();
    assert_eq!(
        asked,
        [
            "store ping --store ssh-ng://b?compress=true",
            "store ping --store ssh://root@a?ssh-key=/k&base64-ssh-public-host-key=aG9zdA%3D%3D"
        ]
    );
    let options = std::fs::read_to_string(nix.path("home/options")).unwrap();
    assert_eq!(options, "-p 2222 -oBatchMode=yes -oConnectTimeout=5\n".repeat(2));
}

#[test]
fn builders_are_asked_in_parallel_and_those_that_do_not_answer_are_not_ok() {
    // The script of builders that do not answer notes when three of them run at once.
    let script = "case \"$*\" in *dead*) cd \"$HOME\"; echo $$ >>dead; \
                  while sleep 0.1; do alive=; for id in $(cat dead); do ! kill -0 $id || alive=x$alive; done; \
                  [ \"$alive\" != xxx ] || touch together; done;; \
                  *shut*) echo 'ssh: connect to host shut port 22: Connection refused' >&2; exit 1;; esac";
    let machines = |names: &[&str]| {
        names.iter().map(|name| format!("{name} aarch64-linux")).collect::<Vec<_>>().join(" ; ")
    };
    let nix = nix_with_builders(&machines(&["dead1", "dead2", "shut", "dead3"]), script);
    let outcome = nix.run(&["doctor"]);
    assert!(nix.path("home/together").exists(), "the builders were not asked in parallel");
    let error = format!("error: 5 of 10 requirements are missing\n{SETUP}");
    outcome.assert_code(3).assert_stderr(error);
    for line in [
        "MISSING  aarch64-linux  by a remote builder, and none can be used\n",
        "MISSING  ssh://dead1    does not answer within 5 s; start it, or correct its line in `builders` or /etc/nix/machines",
        "MISSING  ssh://shut     does not answer: ssh: connect to host shut port 22: Connection refused; start it",
        ": `nix --extra-experimental-features nix-command store ping --store ssh://shut` must succeed\n",
    ] {
        assert!(outcome.stdout.contains(line), "{line}\n{}", outcome.stdout);
    }
    // One builder that answers is enough to build, and the others are still named.
    let outcome = nix_with_builders(&machines(&["shut", "fine"]), script).run(&["doctor"]);
    outcome.assert_code(3).assert_stderr("error: 1 of 8 requirements is missing\n");
    assert!(outcome.stdout.contains("ok       aarch64-linux  by a remote builder\n"), "{}", outcome.stdout);
}

mod as_root {
    use super::*;

    /// Another user plants the names that the probe of the kernel once used, for the next process ids.
    #[test]
    #[ignore = "needs root: run `cargo xtask test`"]
    fn files_that_another_user_planted_are_not_run() {
        use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
        let nix = answers_with_remote_builder().install();
        let shared = nix.path("shared");
        let other_users_folder = nix.path("theirs");
        let ran = nix.path("ran");
        for folder in [&shared, &other_users_folder] {
            std::fs::create_dir(folder).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let script = format!("#!/bin/sh\ntouch {}\nexit 42\n", ran.display());
        let file = other_users_folder.join("script");
        std::fs::write(&file, &script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o777)).unwrap();
        chown(&file, Some(65_534), Some(65_534)).unwrap();
        let own_pid = std::process::id();
        for (pid, ending) in (own_pid..own_pid + 3000).flat_map(|pid| [(pid, ""), (pid, ".run")]) {
            let link = shared.join(format!("xtask-probe-{pid}-0{ending}"));
            symlink(&file, &link).unwrap();
            lchown(&link, Some(65_534), Some(65_534)).unwrap();
        }
        let before = shared.read_dir().unwrap().count();
        nix.xtask(&["doctor"]).env("TMPDIR", &shared).run();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), script, "a file of another user was written to");
        assert!(!ran.exists());
        assert_eq!(shared.read_dir().unwrap().count(), before);
    }
}
