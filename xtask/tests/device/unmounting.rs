//! A mounted card is unmounted after a confirmation, and otherwise unchanged.

use std::path::Path;

use crate::card::MIB;
use crate::image::{image, pack};
use crate::support::loops::{Loop, Mounted, make_ext4};
use crate::support::{Outcome, Sandbox};
use crate::user::{User, give_to_user};

/// Makes a card of 64 MiB with a file system.
fn make_card() -> Loop {
    Loop::attach(64 * MIB as u64, &[], make_ext4)
}

/// The arguments that flash `file` to `card`, without a confirmation.
fn flash_args<'a>(file: &'a Path, card: &'a Loop) -> [&'a str; 5] {
    ["flash", "--image", file.to_str().expect("a plain path"), card.device(), "--allow-virtual"]
}

/// Flashes an image to `card` with the options `more`, confirmed by flags.
fn flash(card: &Loop, more: &[&str]) -> Outcome {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let options = ["--yes", "--expect-size", "64MiB"];
    sandbox.run(&[&flash_args(&file, card)[..], &options, more].concat())
}

/// Whether `folder` is a mount point, by `/proc/mounts`.
fn is_mounted(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").expect("reading the mounts");
    mounts.lines().any(|line| line.split(' ').nth(1) == folder.to_str())
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_mounted_card_is_unmounted_only_with_the_flag() {
    let card = make_card();
    let mounted = Mounted::new(card.device());
    let at = mounted.mount_point().display();
    flash(&card, &[])
        .assert_stderr_contains(format!("hint: run `umount {at}`, or pass --unmount to `flash`"))
        .assert_code(3);
    assert!(is_mounted(mounted.mount_point()));
    let outcome = flash(&card, &["--unmount"]);
    outcome.assert_stderr_contains(format!("unmount {at} ({})", card.device())).assert_code(0);
    assert!(!is_mounted(mounted.mount_point()));
    assert!(card.bytes().starts_with(&image(6)));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn all_mounts_of_a_card_are_unmounted() {
    let card = make_card();
    let first = Mounted::new(card.device());
    let inside = first.mount_point().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let second = Mounted::bound(first.mount_point(), &inside);
    let folder = tempfile::tempdir().unwrap();
    let stacked = [(); 2].map(|()| Mounted::bound(first.mount_point(), folder.path()));
    let mount_points = [first.mount_point(), &inside, folder.path()];
    assert!(mount_points.map(is_mounted) == [true; 3]);
    flash(&card, &["--unmount"]).assert_code(0);
    assert!(mount_points.map(is_mounted) == [false; 3]);
    assert!(card.bytes().starts_with(&image(6)));
    drop((stacked, second));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_busy_card_is_not_unmounted() {
    let card = make_card();
    let mounted = Mounted::new(card.device());
    let photo = mounted.mount_point().join("photo");
    std::fs::write(&photo, "precious").unwrap();
    let open = std::fs::File::open(&photo).unwrap();
    let outcome = flash(&card, &["--unmount"]);
    outcome.assert_stderr_contains(format!(
        "{} could not be unmounted: it is busy with ",
        mounted.mount_point().display()
    ));
    outcome.assert_stderr_contains(format!("({}); nothing was written\nhint: end ", std::process::id()));
    outcome.assert_code(3);
    assert_eq!(std::fs::read_to_string(&photo).unwrap(), "precious");
    drop(open);
    flash(&card, &["--unmount"]).assert_code(0);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_with_a_mount_on_top_is_not_unmounted() {
    let card = make_card();
    let mounted = Mounted::new(card.device());
    let inside = mounted.mount_point().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let other = make_card();
    let upper = Mounted::at_folder(other.device(), &inside);
    let text = format!(
        "{} is mounted at {}, on top of {}; nothing was written\nhint: run `umount ",
        other.device(),
        inside.display(),
        card.device()
    );
    flash(&card, &["--unmount"]).assert_stderr_contains(&text).assert_code(3);
    assert!(is_mounted(mounted.mount_point()) && is_mounted(&inside));
    drop(upper);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_with_the_image_on_it_is_not_unmounted() {
    let card = make_card();
    let mounted = Mounted::new(card.device());
    let file = pack(mounted.mount_point(), "img", &image(6));
    let options = ["--yes", "--expect-size", "64MiB", "--unmount"];
    let outcome = Sandbox::new().run(&[&flash_args(&file, &card)[..], &options].concat());
    let text = format!("the image {} is on {}", file.display(), card.device());
    outcome.assert_stderr_contains(&text).assert_code(3);
    assert!(std::fs::read(&file).unwrap() == image(6));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn on_a_terminal_unmounting_needs_a_confirmation() {
    let sandbox = Sandbox::new();
    let file = pack(&sandbox.path("home"), "img", &image(6));
    for (answer, code) in [("", 3), ("n", 3), ("y", 0)] {
        let card = make_card();
        let mounted = Mounted::new(card.device());
        let name = card.device().trim_start_matches("/dev/");
        let mut terminal = sandbox.xtask(&flash_args(&file, &card)).on_terminal();
        terminal.answer("to go on:", name);
        let prompt =
            format!("{} is mounted at {}. Unmount it? [y/N]", card.device(), mounted.mount_point().display());
        terminal.answer(&prompt, answer);
        let outcome = terminal.finish();
        outcome.assert_code(code);
        assert_eq!(is_mounted(mounted.mount_point()), code != 0);
        if code == 0 {
            assert!(card.bytes().starts_with(&image(6)));
        } else {
            outcome.assert_stderr_contains(
                "error: not confirmed; nothing was unmounted, and no card was written",
            );
        }
    }
}

#[test]
#[ignore = "needs root, loop devices and sudo: run `cargo xtask test`"]
fn the_worker_unmounts_the_card_of_the_user() {
    let user = User::new();
    let _rule = user.install_sudo();
    let card = Loop::attach(9 * MIB as u64, &[], make_ext4);
    give_to_user(&card.backing_file());
    let mounted = Mounted::new(card.device());
    user.flash_with(card.device(), "9MiB", &["--unmount"]).assert_code(0);
    assert!(!mounted.mount_point().join("lost+found").exists());
    assert!(card.bytes().starts_with(&user.image));
}
