//! Cards with the key of their host and with files, read by e2fsprogs.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::card::{Card, MIB};
use crate::flash::flash;
use crate::host_image::{
    CARD_MIB, assert_differs_only_in, assert_no_key_in, assert_no_key_in_files, assert_sound, debugfs,
    host_image, listing, payload_chunks, private_key, stock_image,
};
use crate::image::{garbage, pack};
use crate::payload::{KEY, assert_payload, make_payload_files};
use crate::support::Sandbox;
use crate::support::image::stdout_of;
use crate::user::User;

/// The options that give the card the key of the host `pi`.
pub const OF_PI: &[&str] = &["--identity-of", "pi"];

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_card_gets_its_key_and_files_and_otherwise_the_image() {
    for (block, format, mode) in [(4096, "img.zst", "auto"), (1024, "img", "full"), (2048, "img.xz", "delta")]
    {
        let sandbox = Sandbox::new();
        let image = host_image(block);
        let card = Card::new(CARD_MIB);
        let file = pack(&sandbox.path("home"), format, &image);
        let device = card.device.device();
        let files = make_payload_files(&sandbox);
        let files = files.to_str().unwrap();
        let more = [OF_PI, &["--files", files, "--mode", mode, "--json"]].concat();
        let outcome = flash(&sandbox, &file, device, "48MiB", &more);
        let changed = payload_chunks(&outcome.assert_code(0).stdout);
        // The plan lists both replaced files, and no note repeats them.
        for path in ["etc/old.conf", "link"] {
            outcome.assert_stderr_contains(format!("        replaces /persist/{path} of the image"));
        }
        assert!(!outcome.stderr.contains("\"replaces /persist"), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("replaces /persist").count(), 2, "{}", outcome.stderr);

        assert_sound(device);
        let bytes = card.device.bytes();
        assert_differs_only_in(&bytes, &image, &changed);
        let rest = image.len()..(CARD_MIB - 1) * MIB;
        assert!(bytes[rest.clone()] == garbage(CARD_MIB * MIB)[rest]);
        let key = private_key(&sandbox, "pi");
        assert_payload(device, &key, &sandbox.path("home/out"));

        // The key is on the card and in its own file, and nowhere else.
        assert_no_key_in_files(&sandbox.path(""), &key);
        assert_no_key_in(&format!("{}{}", outcome.stdout, outcome.stderr), &key, "the output");
        let [folder, private] = ["state/identity/pi", "state/identity/pi/ssh_host_ed25519_key"];
        let mode = |name: &str| sandbox.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder), mode(private)), (0, 0o600));
    }
}

/// In an image of nixpkgs the partition is / of the host: its sshd reads /etc/ssh there.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn an_image_of_nixpkgs_gets_its_key_where_its_host_reads_it() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &stock_image());
    let device = card.device.device();
    let files = make_payload_files(&sandbox);
    let more = [OF_PI, &["--files", files.to_str().unwrap()]].concat();
    flash(&sandbox, &file, device, "48MiB", &more).assert_code(0);
    assert_sound(device);
    let key = debugfs(device, "cat /etc/ssh/ssh_host_ed25519_key");
    assert_eq!(key, private_key(&sandbox, "pi"));
    let names = listing(device, "/");
    let names = names.iter().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>();
    assert!(names.contains(&"etc") && names.contains(&"nix") && !names.contains(&"persist"), "{names:?}");
    let verified = sandbox.run(&["card", "verify", device]);
    verified.assert_code(0);
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn the_plan_the_result_and_the_receipt_name_the_identity() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &host_image(4096));
    let device = card.device.device();
    let outcome = flash(&sandbox, &file, device, "48MiB", OF_PI);
    let public = sandbox.path("state/identity/pi/ssh_host_ed25519_key.pub");
    let fingerprint = stdout_of("ssh-keygen", &["-l", "-f", public.to_str().unwrap()]);
    let fingerprint = fingerprint.split_whitespace().nth(1).unwrap();
    outcome.assert_stderr_contains(format!(
        "key     {fingerprint} of pi (new)\nlogins  unknown (the image has no NixOS that can be read)\ncard    {device}"
    ));
    outcome.assert_stderr_contains("added the key of pi to known_hosts of the project");
    assert!(
        outcome
            .assert_code(0)
            .stdout
            .starts_with(&format!("{device} holds the image and the identity of pi: 40.0 MiB"))
    );
    let line = std::fs::read_to_string(&public).unwrap();
    let known = std::fs::read_to_string(sandbox.path("state/identity/known_hosts")).unwrap();
    assert_eq!(known, format!("pi {}\n", line.trim_end().trim_end_matches(" pi")));
    let inspected = sandbox.run(&["card", "inspect", device]);
    assert!(inspected.stdout.contains(", and the identity of pi\n"), "{inspected:?}");
    let history = sandbox.run(&["history", "pi"]);
    assert!(
        history.assert_code(0).stdout.lines().any(|line| line.contains(" flash ") && line.contains(" pi ")),
        "{history:?}"
    );
    let shown = sandbox.run(&["identity", "show", "pi"]);
    let json = flash(&sandbox, &file, device, "48MiB", &[OF_PI, &["--json"]].concat());
    let json = json.assert_code(0).json();
    let expected = serde_json::json!({"host": "pi", "fingerprint": fingerprint, "origin": "kept"});
    assert_eq!(json["identity"], expected);
    assert!(
        shown.assert_code(0).stdout.starts_with(&format!("key     {fingerprint}\nage     age1")),
        "{shown:?}"
    );
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn verify_compares_the_image_and_the_payload() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &host_image(4096));
    let device = card.device.device();
    let path = file.to_str().unwrap();
    flash(&sandbox, &file, device, "48MiB", OF_PI).assert_code(0);
    let holds = format!("{device} holds the image and the identity of pi: 40.0 MiB compared");
    let verify = |more: &[&str]| sandbox.run(&[&["card", "verify"][..], more, &[device]].concat());
    assert!(verify(&[]).assert_code(0).stdout.starts_with(&holds));
    assert!(verify(&["--image", path]).assert_code(0).stdout.starts_with(&holds));
    let away = sandbox.path("home/away");
    std::fs::rename(&file, &away).unwrap();
    verify(&[]).assert_stderr_contains("comparing with the hash of the receipt");
    assert!(verify(&[]).assert_code(0).stdout.starts_with(&holds));
    std::fs::rename(&away, &file).unwrap();
    // The mode of the key changes.
    stdout_of(
        "/usr/sbin/debugfs",
        &["-w", "-R", &format!("sif {KEY} mode 0100644"), &format!("{device}?offset={MIB}")],
    );
    verify(&[]).assert_stderr_contains("does not hold the image: ").assert_code(4);
    // A checkout of another user flashes the image without a payload.
    let other_checkout = Sandbox::new();
    flash(&other_checkout, &file, device, "48MiB", &[]).assert_code(0);
    verify(&["--image", path]).assert_stderr_contains("does not hold the image: ").assert_code(4);
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_second_flash_keeps_replaces_or_removes_the_key() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let image = host_image(4096);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let device = card.device.device();
    let run = |more: &[&str]| flash(&sandbox, &file, device, "48MiB", &[OF_PI, more].concat());
    let known_hosts = || std::fs::read_to_string(sandbox.path("state/identity/known_hosts")).unwrap();
    run(&[]).assert_code(0);
    let key = private_key(&sandbox, "pi");
    let line = known_hosts();
    // Only the chunks of the key differ from the image; the flash writes them twice. Less than 5 MiB come on top: the
    // head twice, the end of the card, and the capacity probes.
    let before = card.device.bytes_written();
    let outcome = run(&["--mode", "delta", "--json"]);
    let changed = payload_chunks(&outcome.assert_stderr_contains("of pi (kept)").assert_code(0).stdout);
    let written = card.device.bytes_written() - before;
    assert!(written < (2 * changed.len() as u64 + 5) << 20, "{written} bytes were written");
    assert_eq!((private_key(&sandbox, "pi"), known_hosts()), (key.clone(), line.clone()));
    assert_eq!(debugfs(device, &format!("cat {KEY}")), key);

    run(&["--identity", "new"]).assert_stderr_contains("of pi (new)").assert_code(0);
    let other = private_key(&sandbox, "pi");
    assert!(other != key && known_hosts() != line && known_hosts().lines().count() == 1);
    assert_eq!(debugfs(device, &format!("cat {KEY}")), other);
    let names = sandbox.path("state/identity/pi").read_dir().unwrap().count();
    assert_eq!(names, 2, "a pending key is left");

    let outcome = run(&["--identity", "none"]);
    outcome.assert_stderr_contains(
        "removed the key of pi from known_hosts of the project: the host makes its own",
    );
    assert!(outcome.assert_code(0).stdout.contains(" holds the image: 40.0 MiB read back"));
    assert_eq!(known_hosts(), "");
    card.assert_holds(&image);
    // The key is still there, for the next card.
    run(&[]).assert_stderr_contains("of pi (kept)").assert_code(0);
    assert_eq!(debugfs(device, &format!("cat {KEY}")), other);
}

/// A run was killed after its card was written, and before its key replaced the old one.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_pending_key_is_never_lost() {
    let sandbox = Sandbox::new();
    let card = Card::new(CARD_MIB);
    let file = pack(&sandbox.path("home"), "img.zst", &host_image(4096));
    let device = card.device.device();
    let run = |more: &[&str]| flash(&sandbox, &file, device, "48MiB", &[OF_PI, more].concat());
    run(&[]).assert_code(0);
    let old = private_key(&sandbox, "pi");
    let pending = sandbox.path("state/identity/pi/ssh_host_ed25519_key.new");
    let pending_path = pending.to_str().unwrap();
    stdout_of("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "pi", "-f", pending_path]);
    std::fs::remove_file(format!("{pending_path}.pub")).unwrap();
    let newer = std::fs::read_to_string(&pending).unwrap();
    let kept = run(&[]);
    kept.assert_stderr_contains("warning: a newer key of pi is pending, SHA256:");
    kept.assert_stderr_contains(format!(
        "pass --identity new to use it, or remove {pending_path} to drop it"
    ))
    .assert_code(0);
    assert_eq!(
        (private_key(&sandbox, "pi"), std::fs::read_to_string(&pending).unwrap()),
        (old, newer.clone())
    );
    run(&["--identity", "new"])
        .assert_stderr_contains("of pi (new, made for a flash that did not end)")
        .assert_code(0);
    assert_eq!(private_key(&sandbox, "pi"), newer);
    assert_eq!(debugfs(device, &format!("cat {KEY}")), newer);
    assert!(!pending.exists());
}

#[test]
#[ignore = "needs e2fsprogs: run `cargo xtask test`"]
fn a_plain_file_gets_a_key_from_another_folder_and_files_of_the_flake() {
    let sandbox = Sandbox::new();
    let image = host_image(4096);
    let file = pack(&sandbox.path("home"), "img.zst", &image);
    let card = sandbox.path("card");
    std::fs::write(&card, garbage(CARD_MIB * MIB)).unwrap();
    let [card, keys] = [card, sandbox.path("home/keys")].map(|path| path.to_str().unwrap().to_owned());
    let made = sandbox.run(&["identity", "make", "--yes", "pi", "--identity-dir", &keys]);
    made.assert_code(0);
    let outcome = flash(&sandbox, &file, &card, "48MiB", &["--identity-of", "pi", "--identity-dir", &keys]);
    outcome.assert_stderr_contains("of pi (kept)").assert_code(0);
    let key = std::fs::read_to_string(format!("{keys}/pi/ssh_host_ed25519_key")).unwrap();
    assert_eq!(debugfs(&card, &format!("cat {KEY}")), key);
    assert!(!sandbox.path("state/identity/pi").exists());
    // Files within the flake become readable for everybody, which is a warning only.
    let files = make_payload_files(&sandbox);
    std::fs::write(sandbox.path("home/flake.nix"), "").unwrap();
    let flake = format!("path:{}", sandbox.path("home").display());
    let outcome =
        flash(&sandbox, &file, &card, "48MiB", &["--flake", &flake, "--files", files.to_str().unwrap()]);
    outcome.assert_stderr_contains(format!("Nix copies {} with the flake to its store", files.display()));
    assert!(outcome.assert_code(0).stdout.contains(" holds the image and 7 files: 40.0 MiB read back"));
}

#[test]
#[ignore = "needs root and e2fsprogs: run `cargo xtask test`"]
fn the_elevated_worker_writes_the_key() {
    let user = User::with_image(host_image(4096), CARD_MIB);
    let keygen = std::fs::canonicalize("/usr/bin/ssh-keygen").unwrap();
    symlink(keygen, user.sandbox.path("bin/ssh-keygen")).unwrap();
    let files = user.sandbox.path("home/files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("wifi"), "psk").unwrap();
    std::os::unix::fs::chown(files.join("wifi"), Some(65534), Some(65534)).unwrap();
    let _rule = user.install_sudo();
    let more = ["--identity-of", "pi", "--files", files.to_str().unwrap()];
    let outcome = user.flash_with(user.card(), "48MiB", &more);
    assert!(
        outcome.assert_code(0).stdout.contains("holds the image and the identity of pi and 1 file: 40.0 MiB")
    );
    let key = private_key(&user.sandbox, "pi");
    assert_eq!(debugfs(user.card(), &format!("cat {KEY}")), key);
    assert_no_key_in_files(&user.sandbox.path("calls"), &key);
    assert_no_key_in(&outcome.stderr, &key, "the output");
    // The file belongs to root on the card, as only root can give files away. The user owns the key here.
    let names = listing(user.card(), "/persist");
    assert!(names.contains(&"wifi 100644 0:0 3".to_owned()), "{names:?}");
    let folder = user.sandbox.path("state/identity/pi").metadata().unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&folder), 65534);
}
