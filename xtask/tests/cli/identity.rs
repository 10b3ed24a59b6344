//! `identity`, and what `flash` asks of ssh-keygen: exact argument vectors, and where keys are.

use std::os::unix::fs::PermissionsExt;

use crate::fake_nix::FLAKE;
use crate::flash::{building, card, is_all};
use crate::support::Sandbox;

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
const FINGERPRINT: &str = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";
const AGE: &str = "age1rudxc36n2yr4z8m7af0af92slf76ztc4fkv8wu2eak7plslasavq8az80z";

/// A fake that makes the files of a key, or prints its public key.
fn keygen(sandbox: &Sandbox) {
    let body = format!(
        "for file; do :; done\ncase $1 in\n-y) echo '{PUBLIC}' ;;\n\
         *) umask 077; echo private >\"$file\"; echo '{PUBLIC} pi' >\"$file.pub\" ;;\nesac"
    );
    sandbox.fake("ssh-keygen", &body);
}

#[test]
fn a_key_is_made_once_and_shown() {
    let sandbox = Sandbox::with_fakes_only();
    keygen(&sandbox);
    let folder = sandbox.path("state/identity/pi");
    let refused = sandbox.run(&["identity", "show", "pi"]);
    let text = format!(
        "error: pi has no key in {}\nhint: flash the host, or run `cargo xtask identity make pi`\n",
        folder.display()
    );
    refused.assert_code(3).assert_stdout("").assert_stderr(text);
    let shown = format!(
        "key     {FINGERPRINT}\nage     {AGE}\npublic  {PUBLIC}\nfolder  {}\n\
         known   no: the next flash of this host adds it\n",
        folder.display()
    );
    let flake = sandbox.path("flake").display().to_string();
    for _ in 0..2 {
        sandbox.run(&["--flake", &flake, "identity", "make", "pi"]).assert_code(0).assert_stdout(&shown);
    }
    sandbox.run(&["identity", "show", "pi"]).assert_code(0).assert_stdout(&shown);
    let [place, part] = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.part"].map(|name| folder.join(name));
    let [place, part] = [&place, &part].map(|path| path.to_str().unwrap());
    let calls = sandbox.calls("ssh-keygen");
    assert_eq!(calls[0], ["-q", "-t", "ed25519", "-N", "", "-C", "pi", "-f", part]);
    // The key is read before, so that its folder is closed again while another program runs.
    let tells =
        |call: &Vec<String>| call[..4] == ["-y", "-P", "", "-f"] && call[4].starts_with("/proc/self/fd/");
    assert!(calls[1..].iter().all(tells) && calls.len() == 6, "{calls:?}");
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(place), mode(folder.to_str().unwrap())), (0o600, 0));
}

#[test]
fn a_folder_is_meant_as_it_is_seen_from_here() {
    let sandbox = Sandbox::with_fakes_only();
    keygen(&sandbox);
    let flake = sandbox.path("flake").display().to_string();
    let args = ["--flake", &flake, "identity", "make", "pi", "--identity-dir", "keys"];
    sandbox.xtask(&args).current_dir(sandbox.path("home")).run().assert_code(0);
    assert!(sandbox.path("home/keys/pi/ssh_host_ed25519_key").exists());
}

#[test]
fn json_and_another_folder() {
    let sandbox = Sandbox::with_fakes_only();
    keygen(&sandbox);
    let [flake, keys] = ["flake", "home/keys"].map(|name| sandbox.path(name).display().to_string());
    let absent = format!("hint: flash the host, or run `cargo xtask identity make pi --identity-dir {keys}`");
    sandbox
        .run(&["identity", "show", "pi", "--identity-dir", &keys])
        .assert_stderr_contains(&absent)
        .assert_code(3);
    let args = ["--json", "--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys];
    let shown: serde_json::Value = serde_json::from_str(&sandbox.run(&args).assert_code(0).stdout).unwrap();
    let expected = serde_json::json!({
        "host": "pi", "fingerprint": FINGERPRINT, "age": AGE, "public": PUBLIC, "folder": format!("{keys}/pi"),
        "known_hosts": null, "waiting": null
    });
    assert_eq!(shown, expected);
}

#[test]
fn a_known_hosts_that_cannot_be_written_is_refused_before_anything_is_built() {
    let (answers, _out) = building();
    let nix = answers.install();
    keygen(&nix);
    std::fs::create_dir_all(nix.path("state/identity/known_hosts")).unwrap();
    let card = card(&nix);
    let device = card.to_str().unwrap();
    let args =
        ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let text = format!(
        "cannot record the card's key: {} is not a regular file",
        nix.path("state/identity/known_hosts").display()
    );
    nix.run(&args).assert_stderr_contains(&text).assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.asked().is_empty());
}

#[test]
fn keys_that_nix_would_copy_are_refused_before_anything_is_built() {
    let (answers, _out) = building();
    let nix = answers.install();
    keygen(&nix);
    let (card, keys) = (card(&nix), nix.path("flake/keys").display().to_string());
    std::fs::create_dir_all(nix.path("flake")).unwrap();
    std::fs::write(nix.path("flake/flake.nix"), "").unwrap();
    let (device, flake) = (card.to_str().unwrap(), nix.path("flake").display().to_string());
    let flash = ["--flake", &flake, "flash", "stinky", device, "--allow-virtual", "--yes"];
    let args = [&flash[..], &["--expect-size", "4MiB", "--identity-dir", &keys]].concat();
    nix.run(&args)
        .assert_stderr_contains(format!("nix copies {keys}/stinky to its store with the flake {flake}"))
        .assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.asked().is_empty());
}

#[test]
fn a_newer_key_that_waits_is_named_and_stays() {
    let sandbox = Sandbox::with_fakes_only();
    keygen(&sandbox);
    let flake = sandbox.path("flake").display().to_string();
    let make = || sandbox.run(&["--flake", &flake, "identity", "make", "pi"]);
    make().assert_code(0);
    let folder = sandbox.path("state/identity/pi");
    let waiting = folder.join("ssh_host_ed25519_key.new");
    std::fs::copy(folder.join("ssh_host_ed25519_key"), &waiting).unwrap();
    let newer = format!("pending {FINGERPRINT}: a card may have it; `flash --identity new` uses it\n");
    for outcome in [make(), sandbox.run(&["identity", "show", "pi"])] {
        assert!(outcome.assert_code(0).stdout.ends_with(&newer), "{outcome:?}");
    }
    assert!(waiting.exists());
}

#[test]
fn keys_that_cannot_be_used() {
    let sandbox = Sandbox::with_fakes_only();
    let flake = sandbox.path("flake").display().to_string();
    let make = |host: &str| sandbox.run(&["--flake", &flake, "identity", "make", host]);
    make("pi")
        .assert_stderr_contains(
            "no ssh-keygen on PATH\nhint: run `cargo xtask setup`, or pass --identity none",
        )
        .assert_code(3);
    make("../pi").assert_stderr_contains("\"../pi\" cannot be the name of a host with a key").assert_code(2);
    keygen(&sandbox);
    make("pi").assert_code(0);
    let key = sandbox.path("state/identity/pi/ssh_host_ed25519_key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = sandbox.run(&["identity", "show", "pi"]);
    outcome
        .assert_stderr_contains(format!(
            "{0} has mode 0644, so others can access it\nhint: run `chmod 600 {0}`",
            key.display()
        ))
        .assert_code(3);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let folder = key.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o750)).unwrap();
    let outcome = sandbox.run(&["identity", "show", "pi"]);
    outcome
        .assert_stderr_contains(format!(
            "{0} has mode 0750, so others can access it\nhint: run `chmod 700 {0}`",
            folder.display()
        ))
        .assert_code(3);
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let refuses = |body: &str, why: &str| {
        sandbox.fake("ssh-keygen", body);
        let text = format!(
            "error: the host key {} {why}\nhint: move it away, then run `cargo xtask identity make pi` to make another\n",
            key.display()
        );
        let outcome = sandbox.run(&["identity", "show", "pi"]);
        outcome.assert_code(3).assert_stdout("").assert_stderr(text);
    };
    let locked = "has a passphrase, which nobody could type on the host";
    refuses("echo 'incorrect passphrase supplied to decrypt private key' >&2; exit 255", locked);
    let other = "is not an ed25519 key, or is damaged";
    refuses("echo 'Load key: invalid format' >&2; exit 255", other);
    refuses("echo 'ssh-rsa AAAA'", other);
    make("known_hosts")
        .assert_stderr_contains("\"known_hosts\" cannot be the name of a host with a key")
        .assert_code(2);
    std::fs::remove_file(&key).unwrap();
    let pipe = std::ffi::CString::new(key.to_str().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let text = format!("error: the host key {} is not a file\nhint: move it away\n", key.display());
    assert_eq!(sandbox.run(&["identity", "show", "pi"]).stderr, text);
    // A folder of keys that Nix would copy with the flake.
    let keys = sandbox.path("flake/keys").display().to_string();
    let args = ["--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys];
    sandbox
        .run(&args)
        .assert_stderr_contains(format!("nix copies {keys}/pi to its store with the flake {flake}"))
        .assert_code(3);
}

#[test]
fn an_image_without_a_place_for_an_identity_is_refused_and_no_key_is_made() {
    let (answers, _out) = building();
    let nix = answers.install();
    keygen(&nix);
    let card = card(&nix);
    let device = card.to_str().unwrap();
    let args =
        ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let outcome = nix.run(&args);
    outcome.assert_stderr_contains("has no partition NIXOS_SD with ext4\nhint: pass --identity none: ");
    outcome.assert_code(3);
    assert!(is_all(&std::fs::read(&card).unwrap(), 0xee) && nix.calls("ssh-keygen").is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn a_folder_that_git_ignores_is_in_no_store() {
    let sandbox = Sandbox::new();
    keygen(&sandbox);
    let flake = sandbox.path("flake");
    let init =
        std::process::Command::new("git").args(["init", "--quiet"]).current_dir(&flake).status().unwrap();
    assert!(init.success());
    std::fs::write(flake.join(".gitignore"), "/secret/\n").unwrap();
    let flake = flake.display().to_string();
    for (folder, code) in [("secret", 0), ("public", 3)] {
        let keys = format!("{flake}/{folder}");
        sandbox
            .run(&["--flake", &flake, "identity", "make", "pi", "--identity-dir", &keys])
            .assert_code(code);
    }
}
