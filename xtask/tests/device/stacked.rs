//! Cards that are in use although no program claims them.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::card::{Card, MIB};
use crate::faults::POSITION;
use crate::fuse_card::DeviceFault;
use crate::image::{image, pack};
use crate::interrupt::StalledFlash;
use crate::support::loops::{Loop, Mounted, Swap, make_ext4};
use crate::support::xtask::SignalTo;
use crate::support::{Outcome, Sandbox};

/// Flashes an image to `device`, which has 64 MiB, in `sandbox`, with the options `more`.
pub fn flash_in_sandbox(sandbox: &Sandbox, device: &str, more: &[&str]) -> Outcome {
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let file = file.to_str().expect("a plain path");
    let args = ["flash", "--image", file, device, "--allow-virtual", "--yes", "--expect-size", "64MiB"];
    sandbox.run(&[&args[..], more].concat())
}

/// Flashes an image to `device`, which has 64 MiB, with the options `more`.
fn flash(device: &str, more: &[&str]) -> Outcome {
    flash_in_sandbox(&Sandbox::new(), device, more)
}

/// The name of a device without `/dev/`.
fn device_name(device: &Loop) -> &str {
    device.device().strip_prefix("/dev/").expect("a device node")
}

/// Asserts that a flash to `device` is refused with a message that contains `text`, and that `card` is unchanged.
#[track_caller]
fn assert_refused(card: &Card, device: &str, text: &str) {
    flash(device, &["--unmount"]).assert_stderr_contains(text).assert_code(3);
    card.assert_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_behind_a_loop_device_is_refused() {
    let card = Card::new(64);
    let device = card.device.device().to_owned();
    let card_name = device_name(&card.device).to_owned();
    let upper = Loop::over(Path::new(&device), &["--offset", "1048576", "--read-only"]);
    let text = format!(
        "{device} is in use: {card_name} is behind {0}\nhint: run `losetup --detach /dev/{0}`",
        device_name(&upper)
    );
    assert_refused(&card, &device, &text);
    // The loop device over the card is refused too, while other devices use the card.
    let second = Loop::over(Path::new(&device), &["--offset", "2097152"]);
    let text = format!("{} is behind {card_name}, {}", device_name(&upper), device_name(&second));
    flash(upper.device(), &[]).assert_stderr_contains(&text).assert_code(3);
    drop(second);
    let third = Loop::over(Path::new(upper.device()), &[]);
    assert_refused(&card, &device, &format!("{card_name} is behind {}", device_name(&upper)));
    drop(third);
    drop(upper);
    flash(&device, &[]).assert_code(0);
}

/// The device node that the loop device was attached by has another name and is removed: only the kernel knows the
/// card.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_behind_a_loop_device_over_a_removed_node_is_refused() {
    let card = Card::new(64);
    let dir = tempfile::tempdir().unwrap();
    let device = card.device.device().to_owned();
    let card_name = device_name(&card.device).to_owned();
    let node = dir.path().join("node");
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&device).unwrap());
    rustix::fs::mknodat(rustix::fs::CWD, &node, rustix::fs::FileType::BlockDevice, 0o600.into(), number)
        .unwrap();
    let upper = Loop::over(&node, &[]);
    assert_refused(&card, &device, &format!("{card_name} is behind {}", device_name(&upper)));
    // Another file may have the path now, as in a container.
    let shown = tempfile::tempdir().unwrap();
    std::fs::write(shown.path().join("node"), "another").unwrap();
    let hiding = Mounted::bound(shown.path(), dir.path());
    assert_refused(&card, &device, &format!("{card_name} is behind {}", device_name(&upper)));
    drop(hiding);
    std::fs::remove_file(&node).unwrap();
    assert_refused(&card, &device, &format!("{card_name} is behind {}", device_name(&upper)));
    run("losetup", &["--detach", upper.device()]);
    std::mem::forget(upper);
}

/// A mount hides the path of the card, over which there is a loop device.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_behind_a_loop_device_over_a_hidden_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shown = tempfile::tempdir().unwrap();
    let [file, link] = ["card", "link"].map(|name| dir.path().join("real").join(name));
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::fs::create_dir(dir.path().join("seen")).unwrap();
    let card = crate::image::garbage(64 * MIB);
    std::fs::write(&file, &card).unwrap();
    std::fs::hard_link(&file, &link).unwrap();
    let seen = Mounted::bound(&dir.path().join("real"), &dir.path().join("seen"));
    let upper = Loop::over(&seen.mount_point().join("card"), &["--read-only"]);
    std::fs::write(shown.path().join("card"), "another").unwrap();
    let hiding = Mounted::bound(shown.path(), seen.mount_point());
    let text = format!("link is behind {}", device_name(&upper));
    flash(link.to_str().unwrap(), &[]).assert_stderr_contains(&text).assert_code(3);
    assert!(std::fs::read(&file).unwrap() == card);
    drop(hiding);
    drop(upper);
    drop(seen);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_mounted_or_used_as_swap_through_a_loop_device_is_refused() {
    let card = Loop::attach(64 * MIB as u64, &[], make_ext4);
    let card_name = device_name(&card).to_owned();
    let upper = Loop::over(Path::new(card.device()), &[]);
    let mounted = Mounted::new(upper.device());
    std::fs::write(mounted.mount_point().join("photo"), "precious").unwrap();
    let text = format!(
        "{card_name} is mounted at {} through {}",
        mounted.mount_point().display(),
        device_name(&upper)
    );
    flash(card.device(), &["--unmount"]).assert_stderr_contains(&text).assert_code(3);
    assert_eq!(std::fs::read_to_string(mounted.mount_point().join("photo")).unwrap(), "precious");
    drop(mounted);
    let swap = Swap::on(upper.device());
    let text = format!("{card_name} is used as swap through {}", device_name(&upper));
    flash(card.device(), &["--unmount"]).assert_stderr_contains(&text).assert_code(3);
    drop(swap);
}

/// A program that has the card open can write to it although another one claims the card.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_a_program_has_open_for_writing_is_refused() {
    let card = Card::new(64);
    let device = card.device.device().to_owned();
    let open = |path: &str, redirection: &str| start_shell(&format!("exec sleep 60 {redirection}'{path}'"));
    let assert_refuses = |path: &str| {
        for redirection in ["3>", "3<>"] {
            let mut child = open(path, redirection);
            std::thread::sleep(std::time::Duration::from_millis(200));
            let text = format!(
                "{device} is open for writing in sleep ({0})\nhint: end sleep ({0}) first",
                child.id()
            );
            assert_refused(&card, &device, &text);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    };
    assert_refuses(&device);
    run("addpart", &[&device, "1", "2048", "100"]);
    assert_refuses(&format!("{device}p1"));
    run("delpart", &[&device, "1"]);
    let mut reader = open(&device, "3<");
    // The tool waits for a program that closes the card in a moment.
    let script = format!("sleep 0.5 3<>'{device}'");
    let mut writer = start_shell(&script);
    std::thread::sleep(std::time::Duration::from_millis(100));
    flash(&device, &[]).assert_code(0);
    for child in [&mut reader, &mut writer] {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

/// The journal of a file system on another device is on the card: the kernel claims the card for that file system.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_with_the_journal_of_another_file_system_is_refused() {
    let card = Loop::new(64 * MIB as u64);
    let other = Loop::new(64 * MIB as u64);
    run("mke2fs", &["-q", "-b", "4096", "-O", "journal_dev", card.device()]);
    run(
        "mke2fs",
        &["-q", "-t", "ext4", "-b", "4096", "-J", &format!("device={}", card.device()), other.device()],
    );
    let mounted = Mounted::new(other.device());
    flash(card.device(), &["--unmount"])
        .assert_stderr_contains(format!("{} is in use", card.device()))
        .assert_code(3);
    // A flash would have blanked the superblock of the journal.
    assert_eq!(card.bytes()[1080..1082], [0x53, 0xef]);
    drop(mounted);
}

/// The kernel attaches a loop device to a card even while a program claims the card.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_loop_device_that_is_attached_during_the_flash_stops_it() {
    let sandbox = Sandbox::new();
    let card = Loop::new(512 * MIB as u64);
    let file = pack(&sandbox.path("home"), "img", &image(400));
    let args =
        ["flash", "--image", file.to_str().unwrap(), card.device(), "--allow-virtual", "--mode", "full"];
    let args = [&args[..], &["--yes", "--expect-size", "512MiB"]].concat();
    let before = card.bytes_written();
    let mut run = sandbox.xtask(&args).spawn();
    while card.bytes_written() < before + 20 * MIB as u64 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let upper = Loop::over(Path::new(card.device()), &["--read-only"]);
    let written = card.bytes_written();
    run.finish()
        .assert_code(5)
        .assert_stderr_contains(format!(
            "is in use: {} is behind {}",
            device_name(&card),
            device_name(&upper)
        ))
        .assert_stderr_contains("the first MiB of the card is blank, so it will not boot");
    // At most the writes that had begun are complete.
    assert!(
        card.bytes_written() <= written + MIB as u64,
        "{} MiB more",
        (card.bytes_written() - written) / MIB as u64
    );
    drop(upper);
    assert!(crate::card::is_blank(&card.bytes()[..MIB]));
    sandbox.run(&args).assert_code(0);
}

/// `nohup`, and `&` in a shell without job control, start programs that ignore some signals.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn signals_ignored_at_the_start_stay_ignored() {
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)] {
        let mut run = StalledFlash::start_ignoring(name, DeviceFault::StallsWrite(POSITION));
        run.signal(SignalTo::Group, signal);
        std::thread::sleep(std::time::Duration::from_millis(300));
        let outcome = run.finish();
        outcome.assert_code(0);
        assert!(run.card.bytes().starts_with(&run.image));
    }
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
/// Starts a shell with `script`.
fn start_shell(script: &str) -> std::process::Child {
    Command::new("sh").args(["-c", script]).spawn().expect("running a shell")
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
/// Runs `program` to its end, and asserts that it succeeds.
pub fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect(program).success(), "{program} {args:?}");
}
