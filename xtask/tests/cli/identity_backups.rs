//! Keys that are backed up and restored, and what cannot be written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::identities::{fingerprint, identity, identity_with_input, list, make_key, sandbox, text};
use crate::support::Sandbox;

const PASSPHRASE: &str = "five words that nobody guesses";

/// A sandbox with a backup of `pi` and `attic` in `home/backup`.
fn sandbox_with_backup() -> (Sandbox, PathBuf) {
    let sandbox = sandbox();
    for host in ["pi", "attic"] {
        identity(&sandbox, &["make", host]).assert_code(0);
    }
    let file = sandbox.path("home/backup");
    let args = ["backup", text(&file), "--passphrase-fd", "0"];
    let outcome = identity_with_input(&sandbox, &args, &format!("{PASSPHRASE}\n"));
    outcome.assert_code(0).assert_stdout_contains("has 2 identities; the passphrase opens it");
    (sandbox, file)
}

#[test]
fn a_backup_restores_all_hosts_or_those_that_are_named() {
    let (sandbox, file) = sandbox_with_backup();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let keys = ["pi", "attic"].map(|host| fingerprint(&sandbox, host));
    let restore = |args: &[&str]| {
        let args = [&["restore", text(&file), "--passphrase-fd", "0"], args].concat();
        identity_with_input(&sandbox, &args, PASSPHRASE)
    };
    restore(&["--list"]).assert_code(0).assert_stdout_contains("attic SHA256:");
    for host in ["pi", "attic"] {
        identity(&sandbox, &["remove", host, "--yes"]).assert_code(0);
    }
    restore(&["none"])
        .assert_code(2)
        .assert_stderr_contains("the backup has no host 'none' (hosts: attic, pi)");
    restore(&["pi"]).assert_code(0).assert_stdout_contains("restored pi SHA256:");
    assert_eq!(fingerprint(&sandbox, "attic"), Value::Null);
    let outcome = restore(&["--json"]);
    let restored = outcome.assert_code(0).json();
    let results = restored["hosts"].as_array().unwrap().iter().map(|host| host["result"].clone());
    assert_eq!(results.collect::<Vec<_>>(), ["restored", "kept"]);
    assert_eq!(["pi", "attic"].map(|host| fingerprint(&sandbox, host)), keys);
}

#[test]
fn a_restore_replaces_no_other_key_by_itself() {
    let (sandbox, file) = sandbox_with_backup();
    let saved = fingerprint(&sandbox, "pi");
    for host in ["pi", "attic"] {
        identity(&sandbox, &["remove", host, "--yes"]).assert_code(0);
    }
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    let other = fingerprint(&sandbox, "pi");
    let args = ["restore", text(&file), "--passphrase-fd", "0"];
    let refused = identity_with_input(&sandbox, &args, PASSPHRASE);
    refused
        .assert_code(3)
        .assert_stderr_contains("other keys of these hosts are here: pi; nothing was restored");
    assert_eq!((fingerprint(&sandbox, "pi"), fingerprint(&sandbox, "attic")), (other, Value::Null));
    identity_with_input(&sandbox, &[&args[..], &["--yes"]].concat(), PASSPHRASE).assert_code(0);
    assert_eq!(fingerprint(&sandbox, "pi"), saved);
}

#[test]
fn a_wrong_passphrase_and_a_cut_file_change_nothing() {
    let (sandbox, file) = sandbox_with_backup();
    let before = list(&sandbox);
    let restore = |input: &str| {
        identity_with_input(&sandbox, &["restore", text(&file), "--yes", "--passphrase-fd", "0"], input)
    };
    restore("another passphrase")
        .assert_code(3)
        .assert_stderr_contains("the passphrase is wrong; nothing was changed");
    let sealed = fs::read(&file).unwrap();
    fs::write(&file, &sealed[..sealed.len() - 1]).unwrap();
    restore(PASSPHRASE).assert_code(3).assert_stderr_contains("the backup is damaged or not complete");
    fs::write(&file, "no backup").unwrap();
    restore(PASSPHRASE).assert_code(3).assert_stderr_contains("the file is no backup of identities");
    identity(&sandbox, &["restore", text(&file)]).assert_code(3);
    assert_eq!(list(&sandbox), before);
}

#[test]
fn a_passphrase_is_asked_twice_and_not_shown() {
    let sandbox = sandbox();
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    let file = sandbox.path("home/backup");
    identity(&sandbox, &["backup", text(&file)])
        .assert_code(3)
        .assert_stderr_contains("pass it by --passphrase-fd N");
    let differ = "the two passphrases differ";
    let short = "the passphrase has fewer than 12 characters";
    // Each slip is answered by a question with the reason, twice; a third one ends the command.
    for (answers, reasons, code) in [
        (&[PASSPHRASE, "other", "short", PASSPHRASE, PASSPHRASE][..], &[differ, short][..], 0),
        (&["short", "short", "short"], &[short, short, short], 3),
        (&[PASSPHRASE, "other", "", PASSPHRASE, "another"], &[differ, short, differ], 3),
        (&[PASSPHRASE, PASSPHRASE], &[], 0),
    ] {
        let _ = fs::remove_file(&file);
        let run = sandbox.xtask(&["identity", "backup", text(&file)]).current_dir(sandbox.path("flake"));
        let mut answers_left = answers.iter();
        let mut terminal = run.on_terminal();
        terminal.answer_all(|line| {
            let is_question =
                line.ends_with("Passphrase of the new backup: ") || line.ends_with("The same again: ");
            is_question.then(|| answers_left.next().expect("no more questions").to_string())
        });
        let outcome = terminal.finish();
        outcome.assert_code(code);
        let shown = outcome
            .stderr
            .lines()
            .filter_map(|line| [differ, short].into_iter().find(|text| line.contains(text)));
        assert_eq!(shown.collect::<Vec<_>>(), reasons, "{}", outcome.stderr);
        assert_eq!(answers_left.count(), 0);
        assert!(!outcome.stderr.contains(PASSPHRASE), "{}", outcome.stderr);
        assert_eq!(file.exists(), code == 0);
    }
    // An existing file is replaced only if the user agrees.
    let args = ["backup", text(&file), "--recipient", "age1x"];
    identity(&sandbox, &args)
        .assert_code(3)
        .assert_stderr_contains("exists\nhint: pass --yes if this is intended");
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let (sandbox, file) = sandbox_with_backup();
    let before = list(&sandbox);
    let folder = sandbox.path("state/identity");
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    let outcome = identity(&sandbox, &["remove", "pi", "--yes"]);
    assert_ne!(outcome.code, 0);
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(list(&sandbox), before);
    // A full disk: no file may grow.
    let full =
        ["bash", "-c", "trap '' XFSZ; cd \"$0\"; ulimit -f 0; exec \"$@\"", text(&sandbox.path("flake"))]
            .map(str::to_owned);
    let full = full.iter().map(String::as_str).collect::<Vec<_>>();
    let key = make_key(&sandbox, "key");
    for args in [
        &["remove", "pi", "--yes"][..],
        &["rename", "pi", "new", "--yes"],
        &["import", "new", text(&key), "--yes"],
        &["make", "new", "--yes"],
        &["backup", text(&file), "--yes", "--recipients-file", text(&key.with_extension("pub"))],
    ] {
        let sealed = fs::read(&file).unwrap();
        let outcome = sandbox.xtask(&[&["identity"], args].concat()).wrapped_in(&full).run();
        outcome.assert_code(5).assert_stderr_contains("File too large");
        assert_eq!((list(&sandbox), fs::read(&file).unwrap()), (before.clone(), sealed), "{args:?}");
    }
}

/// A key that only the team knows has no private part here.
#[test]
fn a_backup_has_something_to_restore() {
    let sandbox = sandbox();
    let key = make_key(&sandbox, "key").with_extension("pub");
    fs::write(sandbox.path("flake/known_hosts"), format!("pi {}", fs::read_to_string(&key).unwrap()))
        .unwrap();
    let file = sandbox.path("home/backup");
    let backup = |hosts: &[&str]| {
        identity(&sandbox, &[&["backup", text(&file), "--recipients-file", text(&key)], hosts].concat())
    };
    backup(&[]).assert_code(3).assert_stderr_contains("no host has a key in ");
    backup(&["pi"]).assert_code(3).assert_stderr_contains("this project has no key of pi");
    assert!(!file.exists());
    identity(&sandbox, &["make", "attic"]).assert_code(0);
    backup(&["attic", "pi"]).assert_code(3).assert_stderr_contains("this project has no key of pi");
    backup(&["attic", "attic"]).assert_code(0).assert_stdout_contains("has 1 identity");
}

/// Root could replace /dev/stdout, and any user a link to the file that is meant.
#[test]
fn a_backup_replaces_no_link_and_no_device() {
    let sandbox = sandbox();
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    let key = make_key(&sandbox, "key").with_extension("pub");
    let link = sandbox.path("home/link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for file in [&link, &PathBuf::from("/dev/full")] {
        identity(&sandbox, &["backup", text(file), "--recipients-file", text(&key), "--yes"])
            .assert_code(2)
            .assert_stderr_contains("is not a regular file");
    }
    assert!(link.is_symlink());
}

#[test]
fn a_file_that_is_not_there_is_refused_without_words_of_the_system() {
    let sandbox = Sandbox::new();
    let none = sandbox.path("none");
    let none = none.to_str().unwrap();
    for (args, doing) in [
        (&["identity", "import", "pi", none, "--yes"][..], "reading the key in"),
        (&["identity", "restore", none], "reading"),
    ] {
        let outcome = sandbox.run(args);
        let error = format!("error: {doing} {none}: there is no such file\nhint: check the path: {none}\n");
        outcome.assert_code(3).assert_stderr(error);
    }
}
