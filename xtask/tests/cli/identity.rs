//! `identity`, and the keys that `flash` makes: exact calls of ssh-keygen, and the folders of keys.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fake_nix::FLAKE;
use crate::flash::{build_with_image, is_all, make_card};
use crate::support::{Outcome, Sandbox};

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
const FINGERPRINT: &str = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";
const AGE: &str = "age1rudxc36n2yr4z8m7af0af92slf76ztc4fkv8wu2eak7plslasavq8az80z";

/// Fakes an ssh-keygen that makes the files of a key, or prints its public key.
pub fn fake_keygen(sandbox: &Sandbox) {
    let body = format!(
        "for file; do :; done\ncase $1 in\n-y) echo '{PUBLIC}' ;;\n\
         *) umask 077; echo private >\"$file\"; echo '{PUBLIC} pi' >\"$file.pub\" ;;\nesac"
    );
    sandbox.fake("ssh-keygen", &body);
}

/// Makes a flake in the folder `flake` of `sandbox`, and returns the path of the folder.
fn make_flake(sandbox: &Sandbox) -> String {
    std::fs::write(sandbox.path("flake/flake.nix"), "").expect("writing the flake");
    sandbox.path("flake").display().to_string()
}

#[test]
fn identity_show_refuses_a_host_without_a_key() {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    let refused = sandbox.run(&["identity", "show", "pi"]);
    let text = format!(
        "error: pi has no key in {}\nhint: flash the host, or run `cargo xtask identity make pi`\n",
        sandbox.path("state/identity/pi").display()
    );
    refused.assert_code(3).assert_stdout("").assert_stderr(text);
    // The hint names the flake that the user named.
    let flake = make_flake(&sandbox);
    let hint = format!("hint: flash the host, or run `cargo xtask --flake {flake} identity make pi`\n");
    sandbox.run(&["identity", "show", &format!("{flake}#pi")]).assert_stderr_contains(hint).assert_code(3);
}

#[test]
fn identity_make_makes_one_private_key_and_keeps_it() {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    let folder = sandbox.path("state/identity/pi");
    let shown = format!(
        "key     {FINGERPRINT}\nage     {AGE}\npublic  {PUBLIC}\nfolder  {}\n\
         known   no: the next flash of this host adds it\n",
        folder.display()
    );
    let flake = make_flake(&sandbox);
    for _ in 0..2 {
        sandbox.run(&["--flake", &flake, "identity", "make", "pi"]).assert_code(0).assert_stdout(&shown);
    }
    sandbox.run(&["identity", "show", "pi"]).assert_code(0).assert_stdout(&shown);
    let [key, part] = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.part"].map(|name| folder.join(name));
    let part = part.to_str().unwrap();
    let calls = sandbox.calls("ssh-keygen");
    assert_eq!(calls[0], ["-q", "-t", "ed25519", "-N", "", "-C", "pi", "-f", part]);
    // The tool passes the open key, because nobody can access the folder while ssh-keygen runs.
    let reads_open_key =
        |call: &Vec<String>| call[..4] == ["-y", "-P", "", "-f"] && call[4].starts_with("/proc/self/fd/");
    assert!(calls[1..].iter().all(reads_open_key) && calls.len() == 7, "{calls:?}");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0);
    assert_eq!(mode(opened(&key)), 0o600);
}

#[test]
fn identity_dir_is_relative_to_the_working_directory() {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    let flake = make_flake(&sandbox);
    let args = ["--flake", &flake, "identity", "make", "pi", "--identity-dir", "keys"];
    sandbox.xtask(&args).current_dir(sandbox.path("home")).run().assert_code(0);
    assert!(opened(&sandbox.path("home/keys/pi/ssh_host_ed25519_key")).exists());
}

#[test]
fn identity_prints_json_and_takes_another_folder() {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    let flake = make_flake(&sandbox);
    let keys = sandbox.path("home/keys").display().to_string();
    let absent = format!("hint: flash the host, or run `cargo xtask identity make --identity-dir {keys} pi`");
    sandbox
        .run(&["identity", "show", "pi", "--identity-dir", &keys])
        .assert_stderr_contains(&absent)
        .assert_code(3);
    let args = ["--json", "--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys];
    let shown = sandbox.run(&args).assert_code(0).json();
    let expected = serde_json::json!({
        "host": "pi", "fingerprint": FINGERPRINT, "age": AGE, "public": PUBLIC, "folder": format!("{keys}/pi"),
        "known_hosts": null, "published": null, "pending": null
    });
    assert_eq!(shown, expected);
}

#[test]
fn an_unwritable_known_hosts_is_refused_before_the_build() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    fake_keygen(&nix);
    std::fs::create_dir_all(nix.path("state/identity/known_hosts")).unwrap();
    let card = make_card(&nix);
    let device = card.to_str().unwrap();
    let args =
        ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let text = format!(
        "cannot record the card's key: {} is not a regular file",
        nix.path("state/identity/known_hosts").display()
    );
    nix.run(&args).assert_stderr_contains(&text).assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.nix_calls().is_empty());
}

#[test]
fn keys_that_nix_would_copy_are_refused_before_the_build() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    fake_keygen(&nix);
    let card = make_card(&nix);
    let keys = nix.path("flake/keys").display().to_string();
    std::fs::create_dir_all(nix.path("flake")).unwrap();
    std::fs::write(nix.path("flake/flake.nix"), "").unwrap();
    let device = card.to_str().unwrap();
    let flake = nix.path("flake").display().to_string();
    let flash = ["--flake", &flake, "flash", "stinky", device, "--allow-virtual", "--yes"];
    let args = [&flash[..], &["--expect-size", "4MiB", "--identity-dir", &keys]].concat();
    nix.run(&args)
        .assert_stderr_contains(format!("nix copies {keys}/stinky to its store with the flake {flake}"))
        .assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.nix_calls().is_empty());
}

#[test]
fn a_pending_key_is_shown_and_kept() {
    let (sandbox, key) = sandbox_with_key();
    let pending_key = key.with_extension("new");
    std::fs::copy(opened(&key), &pending_key).unwrap();
    let pending = format!("pending {FINGERPRINT}: a card may have it; `flash --identity new` uses it\n");
    for outcome in [run_identity_make(&sandbox, "pi"), sandbox.run(&["identity", "show", "pi"])] {
        assert!(outcome.assert_code(0).stdout.ends_with(&pending), "{outcome:?}");
    }
    assert!(opened(&pending_key).exists());
}

/// A sandbox with a key of the host `pi`. Returns the sandbox and the path of the key.
fn sandbox_with_key() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    run_identity_make(&sandbox, "pi").assert_code(0);
    let key = sandbox.path("state/identity/pi/ssh_host_ed25519_key");
    (sandbox, key)
}

/// `key`, whose folder is opened until the tool closes it again: no user but root can read what is in a closed folder.
fn opened(key: &Path) -> &Path {
    let folder = key.parent().expect("a folder");
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).expect("opening a folder");
    key
}

/// Runs `identity make HOST`.
fn run_identity_make(sandbox: &Sandbox, host: &str) -> Outcome {
    let flake = make_flake(sandbox);
    sandbox.run(&["--flake", &flake, "identity", "make", host])
}

#[test]
fn a_missing_ssh_keygen_is_refused() {
    run_identity_make(&Sandbox::with_fakes_only(), "pi")
        .assert_stderr_contains(
            "no ssh-keygen on PATH\nhint: run `cargo xtask setup`, or pass --identity none to `flash`",
        )
        .assert_code(3);
}

#[test]
fn neither_a_path_nor_a_reserved_name_is_a_host_with_a_key() {
    let (sandbox, _key) = sandbox_with_key();
    for host in ["../pi", "known_hosts"] {
        let error = format!("{host:?} cannot be the name of a host with a key");
        run_identity_make(&sandbox, host).assert_stderr_contains(error).assert_code(2);
    }
}

#[test]
fn keys_that_others_can_access_are_refused() {
    let (sandbox, key) = sandbox_with_key();
    let folder = key.parent().unwrap();
    for (path, mode, private) in [(key.as_path(), 0o644, 0o600), (folder, 0o750, 0o700)] {
        opened(&key);
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let error = format!(
            "{0} has mode 0{mode:o}, so others can access it\nhint: run `chmod {private:o} {0}`",
            path.display()
        );
        sandbox.run(&["identity", "show", "pi"]).assert_stderr_contains(error).assert_code(3);
        opened(&key);
        std::fs::set_permissions(path, Permissions::from_mode(private)).unwrap();
    }
}

#[test]
fn unusable_keys_are_refused() {
    let (sandbox, key) = sandbox_with_key();
    let assert_refused = |keygen_script: &str, reason: &str| {
        sandbox.fake("ssh-keygen", keygen_script);
        let error = format!(
            "error: the host key {} {reason}\nhint: move it away: `identity make` or the next flash of pi makes another\n",
            key.display()
        );
        sandbox.run(&["identity", "show", "pi"]).assert_code(3).assert_stdout("").assert_stderr(error);
    };
    let locked = "has a passphrase, which nobody could type on the host";
    assert_refused("echo 'incorrect passphrase supplied to decrypt private key' >&2; exit 255", locked);
    let damaged = "is damaged: ssh-keygen cannot read it";
    assert_refused("echo 'Load key: invalid format' >&2; exit 255", damaged);
    assert_refused("echo 'ssh-rsa AAAA'", "is not an ed25519 key");
}

#[test]
fn a_fifo_in_place_of_the_key_is_refused() {
    let (sandbox, key) = sandbox_with_key();
    std::fs::remove_file(opened(&key)).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &key, 0o600.into()).unwrap();
    let error = format!(
        "error: the host key {} is not a file\nhint: move it away, then run the command again\n",
        key.display()
    );
    sandbox.run(&["identity", "show", "pi"]).assert_stderr(error);
}

#[test]
fn identity_make_refuses_a_folder_that_nix_would_copy() {
    let (sandbox, _key) = sandbox_with_key();
    let flake = make_flake(&sandbox);
    let keys = sandbox.path("flake/keys").display().to_string();
    let error = format!("nix copies {keys}/pi to its store with the flake {flake}");
    sandbox
        .run(&["--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys])
        .assert_stderr_contains(error)
        .assert_code(3);
}

#[test]
fn an_image_without_nixos_sd_gets_no_key_and_is_refused_where_one_is_asked_for() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    fake_keygen(&nix);
    let card = make_card(&nix);
    let device = card.to_str().unwrap();
    let args =
        ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let outcome = nix.run(&[&args[..], &["--identity", "keep"]].concat());
    outcome.assert_stderr_contains("has no partition NIXOS_SD with ext4\nhint: pass --identity none: ");
    outcome.assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.calls("ssh-keygen").is_empty());
    // Nobody asked for a key, and the host has none: the card is written without one, with the reason.
    let outcome = nix.run(&args);
    outcome
        .assert_code(0)
        .assert_stderr_contains("warning: the card gets no host key, so its host makes its own: ");
    outcome.assert_stderr_contains("has no partition NIXOS_SD with ext4\n");
    assert!(!nix.path("state/identity/stinky").exists() && nix.calls("ssh-keygen").is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn only_a_key_folder_that_git_ignores_is_accepted() {
    let sandbox = Sandbox::new();
    fake_keygen(&sandbox);
    let flake = sandbox.path("flake");
    let init =
        std::process::Command::new("git").args(["init", "--quiet"]).current_dir(&flake).status().unwrap();
    assert!(init.success());
    std::fs::write(flake.join("flake.nix"), "").unwrap();
    std::fs::write(flake.join(".gitignore"), "/secret/\n").unwrap();
    let flake = flake.display().to_string();
    for (folder, code) in [("secret", 0), ("public", 3)] {
        let keys = format!("{flake}/{folder}");
        sandbox
            .run(&["--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys])
            .assert_code(code);
    }
}
