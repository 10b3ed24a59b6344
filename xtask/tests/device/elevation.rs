//! A user who may not write the card: sudo, run0 or doas elevates the worker alone.

use crate::card::MIB;
use crate::image::garbage;
use crate::user::{NOBODY, User, set_mode};

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn sudo_comes_before_run0_and_run0_before_doas() {
    for (present, expected) in
        [(&["sudo", "run0", "doas"][..], "sudo"), (&["run0", "doas"], "run0"), (&["doas"], "doas")]
    {
        let user = User::new();
        for program in present {
            user.sandbox.fake(program, "echo 'a password is required' >&2; exit 1");
        }
        let outcome = user.flash();
        outcome.assert_stderr_contains(format!(
            "writing needs root: {expected} {}",
            user.worker_args().join(" ")
        ));
        outcome.assert_stderr_contains("a password is required");
        outcome.assert_stderr_contains(format!(
            "{expected} ended with exit code 1 before the worker began; nothing was written\n"
        ));
        outcome.assert_stderr_contains(format!(
            "hint: allow {expected} to run the worker, or run the command as root\n"
        ));
        outcome.assert_code(6);
        assert_eq!(user.sandbox.calls(expected), [user.worker_args()]);
        user.assert_card_unchanged();
    }
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn without_an_elevation_program_the_flash_fails_before_the_image_is_read() {
    let user = User::new();
    let outcome = user.flash();
    let none =
        format!("error: this user may not write {}, and none of sudo, run0, doas is on PATH\n", user.card());
    outcome.assert_stderr_contains(&none).assert_stderr_contains("hint: run the command as root\n");
    // The flash fails before the image is read and the card is confirmed.
    assert!(!outcome.stderr.contains("check"), "{}", outcome.stderr);
    outcome.assert_code(6);
    user.assert_card_unchanged();
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn an_image_that_the_user_may_not_read_is_refused() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 99");
    let image = user.sandbox.path("home").join("nixos-sd-image.img.zst");
    set_mode(&image, 0o600);
    let outcome = user.flash();
    outcome.assert_stderr_contains("opening the image ").assert_stderr_contains(
        "Permission denied\nhint: make the file and the folders above it readable for this user",
    );
    outcome.assert_code(6);
    assert!(user.sandbox.calls("sudo").is_empty());
    user.assert_card_unchanged();
    // An image in a folder that the user cannot enter is refused, too.
    let closed = user.sandbox.path("home").join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o700);
    std::fs::rename(&image, closed.join("image")).unwrap();
    set_mode(&closed.join("image"), 0o644);
    std::os::unix::fs::symlink(closed.join("image"), &image).unwrap();
    user.flash()
        .assert_stderr_contains("Permission denied\nhint: make the file and the folders")
        .assert_code(6);
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn with_json_what_sudo_prints_is_an_event() {
    let user = User::new();
    user.sandbox.fake("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    for args in [&["card", "inspect", user.card(), "--json"][..], &["card", "check", user.card(), "--json"]] {
        let more = ["--allow-virtual", "--yes", "--expect-size", "9MiB"];
        let more = if args[1] == "check" { &more[..] } else { &[] };
        let outcome = user.run(&[args, more].concat());
        let events = outcome.assert_code(6).events();
        let of_sudo = |event: &&serde_json::Value| event["text"] == "sudo: a password is required";
        let printed = events.iter().find(of_sudo).unwrap_or_else(|| panic!("{outcome:?}"));
        assert_eq!(printed["event"], "log");
    }
    user.assert_card_unchanged();
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn reading_is_elevated_with_the_read_worker() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 1");
    let card = user.card();
    let own = user.sandbox.path("xtask").display().to_string();
    let reader = ["--", own.as_str(), "read-card"];
    for args in
        [&["card", "inspect", card][..], &["card", "verify", "--image", "nixos-sd-image.img.zst", card]]
    {
        let outcome = user.run(args);
        outcome.assert_stderr_contains(format!("reading needs root: sudo {}\n", reader.join(" ")));
        outcome
            .assert_stderr_contains("sudo ended with exit code 1 before the worker began; nothing was read\n")
            .assert_code(6);
    }
    assert_eq!(user.sandbox.calls("sudo"), [reader, reader]);
    std::fs::remove_file(user.sandbox.path("bin").join("sudo")).expect("removing a fake");
    let outcome = user.run(&["card", "inspect", card]);
    let none = format!("error: this user may not read {card}, and none of sudo, run0, doas is on PATH\n");
    outcome
        .assert_stderr_contains(&none)
        .assert_stderr_contains("hint: run the command as root\n")
        .assert_code(6);
    user.assert_card_unchanged();
}

#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn the_elevated_worker_writes_the_card() {
    let user = User::new();
    let _rule = user.install_sudo();
    let outcome = user.flash();
    let sum = outcome.file_sum();
    assert!(outcome.assert_code(0).stdout.ends_with(&format!("holds the image: 6.0 MiB read back, {sum}\n")));
    user.card.assert_holds(&user.image);
    // The user owns the receipt.
    let receipts = user.sandbox.path("state").join("receipts").metadata().expect("a folder of receipts");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&receipts), NOBODY);
    let file = user.sandbox.path("home").join("nixos-sd-image.img.zst");
    let file = file.to_str().expect("a plain path");
    let outcome = user.run(&["card", "verify", "--image", file, user.card()]);
    assert!(outcome.assert_code(0).stdout.contains("holds the image: 6.0 MiB compared"), "{outcome:?}");
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn a_plain_file_of_another_user_is_not_written_by_root() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 99");
    let card = user.sandbox.path("virtual-card");
    std::fs::write(&card, garbage(9 * MIB)).expect("making a card");
    set_mode(&card, 0o600);
    let outcome = user.flash_to(card.to_str().expect("a plain path"), "9MiB");
    outcome
        .assert_stderr_contains("error: this user may not write ")
        .assert_stderr_contains(", and an elevated worker opens only cards\n")
        .assert_code(6);
    assert!(user.sandbox.calls("sudo").is_empty());
    assert!(std::fs::read(&card).expect("reading the card") == garbage(9 * MIB));
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn a_refusal_of_sudo_is_reported_with_its_output() {
    let user = User::new();
    for (body, code, output) in [
        (
            "echo 'sudo: 3 incorrect password attempts' >&2; exit 1",
            1,
            "sudo: 3 incorrect password attempts\n",
        ),
        ("echo 'nobody is not in the sudoers file.' >&2; exit 1", 1, "nobody is not in the sudoers file.\n"),
        ("exit 127", 127, ""),
        // The stdout of sudo is not taken for that of the worker.
        (
            "echo 'We trust you have received the usual lecture'; exit 1",
            1,
            "  | We trust you have received the usual lecture\n",
        ),
    ] {
        user.sandbox.fake("sudo", body);
        let outcome = user.flash();
        // The time of the check varies, and the second run has no check.
        let after_check = &outcome.stderr[outcome.stderr.find("image   ").expect("a plan")..];
        let image = user.sandbox.path("home").join("nixos-sd-image.img.zst");
        let file = user.card.device.backing_file();
        let image = image.display();
        let file = file.display();
        let card = user.card();
        let sum = outcome.file_sum();
        let (plan, _) = after_check.split_once("lost    ").expect("a plan");
        assert!(plan.starts_with(&format!("image   {image}\n        6.0 MiB (zstd), {sum}\n")), "{plan}");
        assert!(plan.ends_with(&format!("card    {card} (loop over {file}, 9.0 MiB)\n")), "{plan}");
        let binary = user.sandbox.path("xtask");
        let expected = format!(
            "writing needs root: sudo -- {} write-card\n{output}error: sudo ended with exit code {code} before the \
             worker began; nothing was written\nhint: allow sudo to run the worker, or run the command as root\n",
            binary.display()
        );
        let (before_log, _) = after_check.split_once("log: ").expect("the log of the run");
        assert!(before_log.ends_with(&expected), "{body}: {after_check}");
        outcome.assert_code(6);
        user.assert_card_unchanged();
    }
    assert!(user.sandbox.calls("sudo").iter().all(|call| *call == user.worker_args()));
}
