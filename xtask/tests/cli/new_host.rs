//! `new-host NAME` in flakes of several shapes. Nix is a fake; the suite `evaluation` evaluates what it writes.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::fake_nix::fail_script;
use crate::new_host_fixture::{Flake, KEY, REGISTRY};

#[test]
fn a_host_is_added_to_the_registry() {
    let flake = Flake::registry();
    fs::set_permissions(flake.path("hosts/default.nix"), fs::Permissions::from_mode(0o640)).unwrap();
    let key = flake.key();
    let outcome = flake.run_smelly(&["--wifi", "--ssh-key", &key, "--address", "smelly.lan"]);
    outcome
        .assert_code(0)
        .assert_stdout("smelly is in hosts/default.nix: its system evaluates\n")
        .assert_stderr_contains(
            "to write   hosts/smelly/default.nix\nto write   hosts/common/keys/anna.pub\nto change  hosts/default.nix\n",
        )
        .assert_stderr_contains(" add hosts/smelly/default.nix hosts/common/keys/anna.pub, then: cargo xtask ")
        .assert_stderr_contains(" up smelly --wifi SSID\n  Nix sees only files that git lists\n");
    let entry = "  smelly = {
    system = \"aarch64-linux\";
    address = \"smelly.lan\";
    admin = \"anna\";
  };
";
    assert_eq!(
        flake.read("hosts/default.nix"),
        REGISTRY.replace("  # other", &format!("{entry}  # other")),
        "all else stays"
    );
    let mode = fs::metadata(flake.path("hosts/default.nix")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(flake.read("hosts/common/keys/anna.pub"), format!("{KEY}\n"));
    let file = flake.read("hosts/smelly/default.nix");
    for line in [
        "imports = [ ../raspberry-pi ];",
        "raspberryPi.boards = [ \"pi4\" ];",
        "raspberryPi.wifi.enable = true;",
        "system.stateVersion = \"26.05\";",
    ] {
        assert!(file.contains(line), "{file}");
    }
    assert!(!flake.git(&["ls-files"]).contains("smelly"), "nobody asked for git add");
    // The registry names the host now.
    let before = flake.content();
    flake
        .run_smelly(&[])
        .assert_stderr_contains("hosts/default.nix has a host smelly already")
        .assert_code(3);
    assert_eq!(flake.content(), before);
}

#[test]
fn git_lists_the_new_files_on_request() {
    let flake = Flake::registry();
    let outcome = flake.run_smelly(&["--git-add", "--json"]);
    let result: Value = serde_json::from_str(&outcome.assert_code(0).stdout).unwrap();
    assert_eq!(result["new_files"], serde_json::json!(["hosts/smelly/default.nix"]));
    assert_eq!((&result["is_in_git"], &result["evaluated"]), (&true.into(), &"system".into()));
    outcome.assert_stderr_contains("nobody can log in to smelly yet: ");
    // The evaluation of a host with this module warns of it.
    let warned = Flake::registry();
    warned.write("hosts/common/logins.nix", "{ }");
    let outcome = warned.run_smelly(&["--git-add"]);
    assert!(!outcome.assert_code(0).stderr.contains("nobody can log in"), "{outcome:?}");
    assert!(flake.git(&["ls-files"]).contains("hosts/smelly/default.nix\n"));
    // On a terminal the user is asked.
    let flake = Flake::registry();
    let path = flake.path(".").display().to_string();
    let args = ["--flake", &path, "new-host", "smelly", "--board", "pi4", "--admin", "anna"];
    let mut terminal = flake.sandbox.xtask(&args).on_terminal();
    terminal.answer("for them? [y/N]", "y");
    terminal.finish().assert_code(0);
    assert!(flake.git(&["ls-files"]).contains("hosts/smelly/default.nix\n"));
}

/// A killed run has left these files, in the order in which they are written.
#[test]
fn the_run_after_one_that_was_killed_completes_it_or_names_what_is_left() {
    let whole = Flake::registry();
    let key = whole.key();
    whole.run_smelly(&["--ssh-key", &key, "--git-add"]).assert_code(0);
    let left = ["hosts/common/keys/anna.pub", "hosts/smelly/default.nix"];
    for count in 0..=left.len() {
        let flake = Flake::registry();
        for name in &left[..count] {
            flake.write(name, &whole.read(name));
        }
        flake.write("hosts/.new-host.a1B2c3.part", "half of a file");
        let key = flake.key();
        flake.run_smelly(&["--ssh-key", &key, "--git-add"]).assert_code(0);
        for name in left.iter().chain(&["hosts/default.nix"]) {
            assert_eq!(flake.read(name), whole.read(name), "{count}");
        }
        assert!(!flake.path("hosts/.new-host.a1B2c3.part").exists());
        assert_eq!(flake.git(&["ls-files"]), whole.git(&["ls-files"]), "{count}");
    }
    // Everything was written, but not added to the list of git.
    let flake = Flake::registry();
    let key = flake.key();
    flake.run_smelly(&["--ssh-key", &key]).assert_code(0);
    let refused = flake.run_smelly(&["--ssh-key", &key, "--git-add"]);
    refused.assert_code(3).assert_stderr_contains("has a host smelly already\nhint: run `git -C ");
    let hint = refused.stderr.split('`').nth(1).unwrap();
    assert!(hint.ends_with(" add hosts/smelly/default.nix hosts/common/keys/anna.pub"), "{hint}");
    flake.git(&["add", "hosts/smelly/default.nix", "hosts/common/keys/anna.pub"]);
    flake
        .run_smelly(&[])
        .assert_code(3)
        .assert_stderr_contains("hint: edit hosts/smelly/default.nix to change it, or choose another name");
}

#[test]
fn a_host_is_added_to_a_flake_of_the_template() {
    let flake = Flake::template();
    let before = flake.read("flake.nix");
    flake
        .run_smelly(&[])
        .assert_stderr_contains("nobody could log in to smelly: no public ssh key is named")
        .assert_code(3);
    let key = flake.key();
    flake.run_smelly(&["--ssh-key", &key]).assert_code(0);
    let file = flake.read("hosts/smelly.nix");
    for line in ["networking.hostName = \"smelly\";", "users.users.anna = {", KEY] {
        assert!(file.contains(line), "{file}");
    }
    let after = flake.read("flake.nix");
    assert!(after.contains("nixosConfigurations.smelly = nixpkgs.lib.nixosSystem {"), "{after}");
    assert!(after.contains("./hosts/smelly.nix") && after.len() > before.len(), "{after}");
}

#[test]
fn a_flake_of_another_shape_gets_the_text_to_add() {
    for registry in ["let a = { }; in a", "{ a = ", "import ./other.nix"] {
        let flake = Flake::registry();
        flake.write("hosts/default.nix", registry);
        let before = flake.content();
        let outcome = flake.run_smelly(&[]);
        outcome.assert_stderr_contains("; nothing was written\nhint: add the text on stdout").assert_code(3);
        assert!(
            outcome.stdout.starts_with("# hosts/default.nix, among the hosts\nsmelly = {\n"),
            "{}",
            outcome.stdout
        );
        assert!(outcome.stdout.contains("\n# hosts/smelly/default.nix\n"), "{}", outcome.stdout);
        assert_eq!(flake.content(), before);
    }
    let flake = Flake::new(&[], "exit 99");
    let before = flake.content();
    let outcome = flake.run_smelly(&["--json"]);
    let result: Value = serde_json::from_str(&outcome.assert_code(3).stdout).unwrap();
    let add = result["add"].as_str().unwrap();
    assert!(add.contains("nixosConfigurations.smelly = nixpkgs.lib.nixosSystem {"), "{add}");
    assert_eq!((&result["error"]["code"], &result["new_files"]), (&3.into(), &serde_json::json!([])));
    assert_eq!(flake.content(), before);
}

#[test]
fn a_host_that_does_not_evaluate_is_not_written() {
    // The other host evaluates: the new one is to blame.
    let blamed =
        format!("case \"$*\" in *stinky*) echo '\"x\"';; *) {};; esac", fail_script("error: no such board"));
    let flake = Flake::registry_with(&blamed);
    let before = flake.content();
    flake
        .run_smelly(&["--git-add"])
        .assert_stderr_contains("evaluating a copy of the flake with smelly; nothing was written")
        .assert_stderr_contains("no such board")
        .assert_code(1);
    assert_eq!(flake.content(), before);
    assert!(!flake.git(&["ls-files"]).contains("smelly"));
    // No host evaluates, as without a network: its name is all that can be seen.
    let flake = Flake::registry_with(&fail_script("error: unable to download 'https://x'"));
    flake
        .run_smelly(&[])
        .assert_stdout(
            "smelly is in hosts/default.nix: the flake lists it, but no configuration of the flake evaluates now\n",
        )
        .assert_stderr_contains("no configuration of the flake evaluates now: ")
        .assert_code(0);
}

#[test]
fn what_is_there_is_never_overwritten() {
    for (name, text) in [
        ("hosts/smelly/default.nix", "hosts/smelly/default.nix exists"),
        ("hosts/common/keys/anna.pub", "hosts/common/keys/anna.pub is there without the key"),
    ] {
        let flake = Flake::registry();
        flake.write(name, "# mine\n");
        let before = flake.content();
        let key = flake.key();
        flake.run_smelly(&["--ssh-key", &key]).assert_stderr_contains(text).assert_code(3).assert_stdout("");
        assert_eq!(flake.content(), before);
    }
    // The key is there already, with another comment.
    let flake = Flake::registry();
    let there = format!("# anna\n{}\n", KEY.replace("anna@desk", "laptop"));
    flake.write("hosts/common/keys/anna.pub", &there);
    let key = flake.key();
    flake.run_smelly(&["--ssh-key", &key]).assert_code(0);
    assert_eq!(flake.read("hosts/common/keys/anna.pub"), there);
    // A registry that is a link may belong to something else.
    let flake = Flake::registry();
    fs::rename(flake.path("hosts/default.nix"), flake.path("registry.nix")).unwrap();
    std::os::unix::fs::symlink("../registry.nix", flake.path("hosts/default.nix")).unwrap();
    flake.run_smelly(&[]).assert_stderr_contains("default.nix is a link").assert_code(3);
    assert_eq!(flake.read("registry.nix"), REGISTRY);
}

#[test]
fn a_board_that_nobody_has_seen_is_named_with_its_checklist() {
    for (board, is_seen) in [("pi4", true), ("pi5", false), ("cm5", false)] {
        let outcome = Flake::registry().run(&["smelly", "--board", board, "--admin", "anna", "--git-add"]);
        outcome.assert_code(0);
        let is_named = outcome.stderr.contains("not yet seen on hardware; docs/pi-5.md has");
        assert_eq!(is_named, !is_seen, "{board}: {}", outcome.stderr);
    }
}

#[test]
fn a_zero_2_w_has_the_name_on_the_board_too() {
    let flake = Flake::registry();
    flake.run(&["smelly", "--board", "zero2w", "--admin", "anna", "--git-add"]).assert_code(0);
    let file = flake.read("hosts/smelly/default.nix");
    assert!(file.contains("raspberryPi.boards = [ \"pi02\" ];"), "{file}");
}

#[test]
fn wrong_names_and_keys_are_refused() {
    let flake = Flake::registry();
    fs::write(flake.sandbox.path("private"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
    let private = flake.sandbox.path("private").display().to_string();
    let before = flake.content();
    for (args, text, code) in [
        (&["a/b", "--board", "pi4", "--admin", "anna"][..], "a/b is no name for a host", 2),
        (&["smelly", "--board", "pi4", "--admin", "root"], "root is a user of the system", 2),
        (&["smelly", "--board", "pi4", "--admin", "An na"], "An na is no name for a user", 2),
        (&["smelly", "--board", "qemu", "--admin", "anna"], "invalid value 'qemu' for '--board", 2),
        (&["smelly", "--board", "cm4s", "--admin", "anna"], "pi400, cm4, pi5, pi500, cm5]", 2),
        (&["smelly", "--board", "pi4", "--admin", "anna", "--address", "a@b"], "a@b is no address", 2),
        (&["smelly", "--board", "pi4", "--admin", "anna", "--state-version", "unstable"], "no release", 2),
        (&["smelly", "--board", "pi4", "--admin", "anna", "--ssh-key", &private], "is a private key", 3),
        (&["stinky", "--board", "pi4", "--admin", "anna"], "hosts/default.nix has a host stinky already", 3),
        (&["common", "--board", "pi4", "--admin", "anna", "--ssh-key", "/none"], "/none cannot be read", 3),
    ] {
        flake.run(args).assert_stderr_contains(text).assert_code(code).assert_stdout("");
        assert_eq!(flake.content(), before, "{args:?}");
    }
    let url = ["--flake", "github:o/f", "new-host", "smelly", "--board", "pi4", "--admin", "anna"];
    flake.sandbox.run(&url).assert_stderr_contains("is no folder of this machine").assert_code(2);
}
