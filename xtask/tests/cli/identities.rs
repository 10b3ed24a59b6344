//! Keys that are listed, imported, renamed and removed, with a real ssh-keygen.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fake_nix::{Answers, names_json, print_script};
use crate::support::{Outcome, Sandbox};

/// A sandbox with a flake that has the hosts `pi` and `attic`.
pub fn sandbox() -> Sandbox {
    let answers =
        Answers { names: print_script(&names_json(&[], &["pi", "attic"], &[])), ..Answers::default() };
    let sandbox = answers.install_in(Sandbox::new()).into_sandbox();
    fs::create_dir(sandbox.path("flake/.git")).expect("making a repository");
    fs::write(sandbox.path("flake/flake.nix"), "{ }").expect("writing a flake");
    sandbox
}

/// Runs `identity` with `args` for the flake of the sandbox.
#[track_caller]
pub fn identity(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    sandbox.xtask(&[&["identity"], args].concat()).current_dir(sandbox.path("flake")).run()
}

/// Runs `identity` with `args`, and with `input` as its stdin.
pub fn identity_with_input(sandbox: &Sandbox, args: &[&str], input: &str) -> Outcome {
    let mut command = sandbox.command(&[&["identity"], args].concat());
    command.current_dir(sandbox.path("flake")).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("running the tool");
    let written = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    written.expect("writing to stdin");
    Outcome::of(&child.wait_with_output().expect("waiting for the tool"))
}

/// Makes a key by ssh-keygen in the home of the sandbox. Returns its file.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
pub fn make_key(sandbox: &Sandbox, name: &str) -> PathBuf {
    let file = sandbox.path("home").join(name);
    let mut command = std::process::Command::new("ssh-keygen");
    let status = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
    assert!(status.expect("running ssh-keygen").success());
    file
}

/// What `identity list --json` prints.
#[track_caller]
pub fn list(sandbox: &Sandbox) -> Value {
    identity(sandbox, &["list", "--json"]).assert_code(0).json()["hosts"].take()
}

/// The fingerprint of the private key of `host`.
#[track_caller]
pub fn fingerprint(sandbox: &Sandbox, host: &str) -> Value {
    let rows = list(sandbox);
    let row = rows.as_array().expect("rows").iter().find(|row| row["host"] == host);
    row.map(|row| row["fingerprint"].clone()).unwrap_or_default()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn all_hosts_are_listed_and_a_damaged_key_hides_none() {
    let sandbox = sandbox();
    identity(&sandbox, &["list"]).assert_code(0).assert_stderr_contains("no host has a key in ");
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    identity(&sandbox, &["import", "attic", text(&make_key(&sandbox, "key"))]).assert_code(0);
    let known = fs::read_to_string(sandbox.path("state/identity/known_hosts")).unwrap();
    fs::write(sandbox.path("flake/known_hosts"), known.replace("attic", "friend")).unwrap();
    let attic = fingerprint(&sandbox, "attic");
    let rows = list(&sandbox);
    let column =
        |name: &str| rows.as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("host"), ["attic", "friend", "pi"]);
    assert_eq!(column("known"), [attic.clone(), Value::Null, Value::Null]);
    assert_eq!(column("published"), [Value::Null, attic, Value::Null]);
    let folder = sandbox.path("state/identity/pi");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.join("ssh_host_ed25519_key"), "damaged").unwrap();
    let table = identity(&sandbox, &["list"]);
    table.assert_code(0).assert_stderr_contains("is damaged: ssh-keygen cannot read it");
    let lines =
        table.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>();
    assert_eq!(lines[0], ["HOST", "KEY", "KNOWN", "FLASHED"]);
    let attic = column("fingerprint")[0].as_str().unwrap().to_owned();
    assert_eq!(lines[1], ["attic", &attic, "yes", "-"]);
    assert_eq!(lines[2], ["friend", &attic, "(public)", "team", "-"]);
    assert_eq!(lines[3], ["pi", "unusable", "no", "-"]);
}

#[test]
fn a_name_that_the_flake_lacks_gets_a_key_only_if_the_user_agrees() {
    let sandbox = sandbox();
    let refused = identity(&sandbox, &["make", "pii"]);
    refused.assert_code(2).assert_stderr_contains("has no host 'pii' (hosts: attic, pi); did you mean 'pi'?");
    refused.assert_stderr_contains("hint: correct the name, or pass --yes if the flake gets this host later");
    assert!(!sandbox.path("state/identity/pii").exists());
    for (answer, code) in [("n", 3), ("y", 0)] {
        let run = sandbox.xtask(&["identity", "make", "pii"]).current_dir(sandbox.path("flake"));
        let mut terminal = run.on_terminal();
        terminal.answer("Go on with pii? (y/N)", answer);
        assert_eq!(terminal.finish().code, code);
    }
    identity(&sandbox, &["make", "later", "--yes"]).assert_code(0);
    // A key that is there is shown without a question.
    identity(&sandbox, &["make", "pii"]).assert_code(0);
    identity(&sandbox, &["import", "other", text(&make_key(&sandbox, "key"))]).assert_code(2);
}

#[test]
fn an_imported_key_is_known_and_replaces_another_only_if_the_user_agrees() {
    let sandbox = sandbox();
    let [first, second] = ["first", "second"].map(|name| make_key(&sandbox, name));
    identity(&sandbox, &["import", "pi", text(&first)]).assert_code(0);
    let known = || fs::read_to_string(sandbox.path("state/identity/known_hosts")).unwrap();
    let public = fs::read_to_string(first.with_extension("pub")).unwrap();
    let public = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert_eq!(known(), format!("pi {public}\n"));
    let before = fingerprint(&sandbox, "pi");
    identity(&sandbox, &["import", "pi", text(&first)]).assert_code(0);
    let refused = identity(&sandbox, &["import", "pi", text(&second)]);
    refused
        .assert_code(3)
        .assert_stderr_contains("replaces what this project has of pi:\n  the private key SHA256:");
    refused.assert_stderr_contains("hint: pass --yes if this is intended");
    assert_eq!((fingerprint(&sandbox, "pi"), known()), (before.clone(), format!("pi {public}\n")));
    let run = sandbox.xtask(&["identity", "import", "pi", text(&second)]).current_dir(sandbox.path("flake"));
    let mut terminal = run.on_terminal();
    terminal.answer("Type the name of the host (pi) to go on:", "no");
    assert_eq!(terminal.finish().code, 3);
    assert_eq!(fingerprint(&sandbox, "pi"), before);
    let key = fs::read_to_string(&second).unwrap();
    identity_with_input(&sandbox, &["import", "pi", "-", "--yes"], &key).assert_code(0);
    assert_ne!(fingerprint(&sandbox, "pi"), before);
    assert!(!known().contains(&public));
}

#[test]
fn a_file_that_is_no_key_is_not_imported() {
    let sandbox = sandbox();
    let key = make_key(&sandbox, "key");
    for (file, text) in [
        (key.with_extension("pub"), "is a public key\nhint: name the private key: the file without `.pub`\n"),
        (sandbox.path("home/none"), "reading the key in "),
    ] {
        let outcome = identity(&sandbox, &["import", "pi", file.to_str().unwrap()]);
        outcome.assert_stderr_contains(text);
        assert_ne!(outcome.code, 0);
    }
    assert!(!sandbox.path("state/identity/pi").exists());
}

#[test]
fn a_rename_refuses_a_name_that_has_an_identity() {
    let sandbox = sandbox();
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    identity(&sandbox, &["make", "attic"]).assert_code(0);
    let taken = "attic has an identity already; nothing was changed";
    identity(&sandbox, &["rename", "pi", "attic"]).assert_code(3).assert_stderr_contains(taken);
    identity(&sandbox, &["rename", "pi", "pi"]).assert_code(2);
    identity(&sandbox, &["rename", "none", "pi2"])
        .assert_code(3)
        .assert_stderr_contains("has no key of none");
    identity(&sandbox, &["rename", "pi", "../x", "--yes"]).assert_code(2);
    identity(&sandbox, &["rename", "pi", "typo"]).assert_code(2).assert_stderr_contains("has no host 'typo'");
    let before = fingerprint(&sandbox, "pi");
    let outcome = identity(&sandbox, &["rename", "pi", "new", "--yes", "--json"]);
    let renamed = outcome.assert_code(0).json();
    assert_eq!(renamed, json!({ "old_host": "pi", "host": "new" }));
    assert_eq!((fingerprint(&sandbox, "new"), fingerprint(&sandbox, "pi")), (before, Value::Null));
}

#[test]
fn a_removal_shows_what_is_lost() {
    let sandbox = sandbox();
    identity(&sandbox, &["remove", "pi", "--yes"]).assert_code(3).assert_stderr_contains("has no key of pi");
    identity(&sandbox, &["import", "pi", text(&make_key(&sandbox, "key"))]).assert_code(0);
    identity(&sandbox, &["publish"]).assert_code(0).assert_stdout_contains("published pi SHA256:");
    let refused = identity(&sandbox, &["remove", "pi"]);
    refused
        .assert_code(3)
        .assert_stdout("")
        .assert_stderr_contains("this removes what the project has of pi:\n  the private key SHA256:");
    refused.assert_stderr_contains("state/identity/known_hosts\n  the line of SHA256:");
    identity(&sandbox, &["remove", "pi", "--yes"]).assert_code(0).assert_stdout_contains("removed pi: ");
    assert_eq!(list(&sandbox), json!([]));
    // A damaged key can be removed, too.
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    let folder = sandbox.path("state/identity/pi");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    fs::write(folder.join("ssh_host_ed25519_key"), "damaged").unwrap();
    identity(&sandbox, &["remove", "pi", "--yes"])
        .assert_code(0)
        .assert_stdout_contains("the unusable folder");
    assert!(!folder.exists());
}

#[test]
fn of_many_runs_at_once_one_makes_the_key() {
    let sandbox = sandbox();
    let keys = ["a", "b", "c"].map(|name| make_key(&sandbox, name));
    let imports = keys.iter().map(|key| vec!["import", "pi", text(key)]);
    let commands = imports.chain((0..3).map(|_| vec!["make", "pi"])).collect::<Vec<_>>();
    let running = commands.iter().map(|args| {
        let run = sandbox.xtask(&[&["identity"], &args[..]].concat()).current_dir(sandbox.path("flake"));
        run.spawn()
    });
    let running = running.collect::<Vec<_>>();
    let ends = running.into_iter().map(|mut run| run.finish());
    let ends = ends.map(|outcome| (outcome.code, outcome.stderr)).collect::<Vec<_>>();
    let is_done = ends.iter().any(|(code, _)| *code == 0);
    assert!(is_done && ends.iter().all(|(code, _)| [0, 3].contains(code)), "{ends:?}");
    assert!(fingerprint(&sandbox, "pi").is_string());
    let names = fs::read_dir(sandbox.path("state/identity")).unwrap();
    let staged = names.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".new"));
    assert_eq!(staged.count(), 0);
}

/// The private key of such a host is with another person, or on the host.
#[test]
fn a_host_whose_key_is_known_gets_another_key_only_if_this_is_meant() {
    let sandbox = sandbox();
    let public = fs::read_to_string(make_key(&sandbox, "key").with_extension("pub")).unwrap();
    fs::write(sandbox.path("flake/known_hosts"), format!("pi {public}")).unwrap();
    identity(&sandbox, &["make", "pi"])
        .assert_code(3)
        .assert_stderr_contains("pi has the key SHA256:")
        .assert_stderr_contains("and its private key is not here");
    assert!(!sandbox.path("state/identity/pi").exists());
    identity(&sandbox, &["make", "pi", "--yes"])
        .assert_code(0)
        .assert_stderr_contains("flake/known_hosts has another key of pi, SHA256:")
        .assert_stdout_contains("known   no: the next flash of this host adds it");
    let shown = identity(&sandbox, &["show", "pi", "--json"]);
    let shown = shown.assert_code(0).json();
    assert_eq!((&shown["known_hosts"], &shown["published"]), (&Value::Null, &Value::Null));
    identity(&sandbox, &["publish", "pi", "--yes"]).assert_code(0);
    let shown = identity(&sandbox, &["show", "pi"]);
    shown.assert_code(0).assert_stdout_contains("known   ").assert_stdout_contains("flake/known_hosts");
}

#[test]
fn what_killed_runs_left_is_removed_by_the_next_change() {
    let sandbox = sandbox();
    identity(&sandbox, &["make", "pi"]).assert_code(0);
    let parts =
        ["state/identity/..change.json.1a.part", "flake/.known_hosts.2b.part"].map(|part| sandbox.path(part));
    for part in &parts {
        fs::write(part, "").unwrap();
    }
    let other = sandbox.path("flake/.known_hosts.mine");
    fs::write(&other, "").unwrap();
    identity(&sandbox, &["publish", "pi"]).assert_code(0);
    assert_eq!(parts.map(|part| part.exists()), [false; 2]);
    assert!(other.exists());
}
