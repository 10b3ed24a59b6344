//! Cards that something else stands on, though nobody has claimed them, and files on them that must survive.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::card::{Card, MIB};
use crate::faults::PLACE;
use crate::image::{image, pack};
use crate::interrupt::Run;
use crate::medium::Fault;
use crate::support::loops::{Loop, Mounted, Swap, ext4};
use crate::support::{Outcome, Sandbox};

fn flash_of(sandbox: &Sandbox, device: &str, more: &[&str]) -> Outcome {
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let file = file.to_str().expect("a plain path");
    let args = ["flash", "--image", file, device, "--allow-virtual", "--yes", "--expect-size", "64MiB"];
    sandbox.run(&[&args[..], more].concat())
}

fn flash(device: &str, more: &[&str]) -> Outcome {
    flash_of(&Sandbox::new(), device, more)
}

/// The name of a device below `/dev`.
fn name(device: &Loop) -> &str {
    device.device().strip_prefix("/dev/").expect("a device node")
}

#[track_caller]
fn refused(card: &Card, device: &str, words: &str) {
    flash(device, &["--unmount"]).assert_stderr_contains(words).assert_code(3);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_behind_a_loop_device_is_refused() {
    let card = Card::new(64);
    let device = card.device.device().to_owned();
    let own = name(&card.device).to_owned();
    let upper = Loop::over(Path::new(&device), &["--offset", "1048576", "--read-only"]);
    let words = format!(
        "{device} is in use: {own} is behind {0}\nhint: run `losetup --detach /dev/{0}`",
        name(&upper)
    );
    refused(&card, &device, &words);
    // The other way round: what stands on the card is no card while the card is used by others.
    let second = Loop::over(Path::new(&device), &["--offset", "2097152"]);
    let words = format!("{} is behind {own}, {}", name(&upper), name(&second));
    flash(upper.device(), &[]).assert_stderr_contains(&words).assert_code(3);
    drop(second);
    let third = Loop::over(Path::new(upper.device()), &[]);
    refused(&card, &device, &format!("{own} is behind {}", name(&upper)));
    drop(third);
    drop(upper);
    flash(&device, &[]).assert_code(0);
}

/// A node of another name, which is gone by now: only the kernel knows what is behind the loop device.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_behind_a_loop_device_over_a_removed_node_is_refused() {
    let card = Card::new(64);
    let dir = tempfile::tempdir().unwrap();
    let device = card.device.device().to_owned();
    let own = name(&card.device).to_owned();
    let node = dir.path().join("node");
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&device).unwrap());
    rustix::fs::mknodat(rustix::fs::CWD, &node, rustix::fs::FileType::BlockDevice, 0o600.into(), number)
        .unwrap();
    let upper = Loop::over(&node, &[]);
    refused(&card, &device, &format!("{own} is behind {}", name(&upper)));
    // The path may be that of something else by now, as in a container.
    let shown = tempfile::tempdir().unwrap();
    std::fs::write(shown.path().join("node"), "another").unwrap();
    let hiding = Mounted::bound(shown.path(), dir.path());
    refused(&card, &device, &format!("{own} is behind {}", name(&upper)));
    drop(hiding);
    std::fs::remove_file(&node).unwrap();
    refused(&card, &device, &format!("{own} is behind {}", name(&upper)));
    run("losetup", &["--detach", upper.device()]);
    std::mem::forget(upper);
}

/// A file system on the card whose image is attached, while another file is shown at the path of that.
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
    let upper = Loop::over(&seen.at().join("card"), &["--read-only"]);
    std::fs::write(shown.path().join("card"), "another").unwrap();
    let hiding = Mounted::bound(shown.path(), seen.at());
    let words = format!("link is behind {}", name(&upper));
    flash(link.to_str().unwrap(), &[]).assert_stderr_contains(&words).assert_code(3);
    assert!(std::fs::read(&file).unwrap() == card);
    drop(hiding);
    drop(upper);
    drop(seen);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_mounted_or_used_as_swap_through_a_loop_device_is_refused() {
    let card = Loop::attach(64 * MIB as u64, &[], ext4);
    let own = name(&card).to_owned();
    let upper = Loop::over(Path::new(card.device()), &[]);
    let mounted = Mounted::new(upper.device());
    std::fs::write(mounted.at().join("photo"), "precious").unwrap();
    let words = format!("{own} is mounted at {} through {}", mounted.at().display(), name(&upper));
    flash(card.device(), &["--unmount"]).assert_stderr_contains(&words).assert_code(3);
    assert_eq!(std::fs::read_to_string(mounted.at().join("photo")).unwrap(), "precious");
    drop(mounted);
    let swap = Swap::on(upper.device());
    let words = format!("{own} is used as swap through {}", name(&upper));
    flash(card.device(), &["--unmount"]).assert_stderr_contains(&words).assert_code(3);
    drop(swap);
}

/// The kernel lets those write that had the card open before somebody claimed it.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_a_program_has_open_for_writing_is_refused() {
    let card = Card::new(64);
    let device = card.device.device().to_owned();
    let writer = |path: &str, redirection: &str| shell(&format!("exec sleep 60 {redirection}'{path}'"));
    let refuse = |path: &str| {
        for redirection in ["3>", "3<>"] {
            let mut child = writer(path, redirection);
            std::thread::sleep(std::time::Duration::from_millis(200));
            let words = format!(
                "{device} is open for writing in sleep ({0})\nhint: end sleep ({0}) first",
                child.id()
            );
            refused(&card, &device, &words);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    };
    refuse(&device);
    run("addpart", &[&device, "1", "2048", "100"]);
    refuse(&format!("{device}p1"));
    run("delpart", &[&device, "1"]);
    let mut reader = writer(&device, "3<");
    // One that has written the card, and closes it in a moment, is waited for.
    let script = format!("sleep 0.5 3<>'{device}'");
    let mut last = shell(&script);
    std::thread::sleep(std::time::Duration::from_millis(100));
    flash(&device, &[]).assert_code(0);
    for child in [&mut reader, &mut last] {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

/// A file system on another device whose journal is on the card: the kernel claims the card for it.
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
    // The kernel itself goes on writing to it; a flash would have blanked its superblock.
    assert_eq!(card.bytes()[1080..1082], [0x53, 0xef]);
    drop(mounted);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn files_the_tool_needs_are_not_overwritten() {
    let card = Loop::attach(64 * MIB as u64, &[], ext4);
    let mounted = Mounted::new(card.device());
    let on_card = |name: &str| {
        let folder = mounted.at().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        folder
    };
    let link = |from: &Sandbox, to: &Path| {
        let link = from.path("home").join("link");
        std::os::unix::fs::symlink(to, &link).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let words = |what: &str, path: &Path| {
        format!("{what} {} is on {}, which would be overwritten", path.display(), card.device())
    };
    let files = on_card("files");
    let keys = on_card("keys");
    let state = on_card("state");
    let tools = on_card("tools");
    let sandbox = Sandbox::new();
    let by_link = link(&sandbox, &files);
    let flash =
        |sandbox: &Sandbox, more: &[&str]| flash_of(sandbox, card.device(), &[&["--unmount"], more].concat());
    flash(&sandbox, &["--files", &by_link])
        .assert_stderr_contains(words("the folder of --files,", &files))
        .assert_code(3);
    let dir = keys.to_str().unwrap();
    flash(&sandbox, &["--identity-of", "pi", "--identity-dir", dir])
        .assert_stderr_contains(words("the folder with the keys of hosts,", &keys))
        .assert_code(3);
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_STATE", &state);
    flash(&sandbox, &[])
        .assert_stderr_contains(words("the folder with the keys of hosts,", &state.join("identity")))
        .assert_code(3);
    flash(&sandbox, &["--identity-dir", sandbox.path("home").to_str().unwrap()])
        .assert_stderr_contains(words("the state folder", &state))
        .assert_code(3);
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_TOOLS", &tools);
    flash(&sandbox, &[]).assert_stderr_contains(words("the tools folder", &tools)).assert_code(3);
    // The history of a checkout that is elsewhere itself.
    let sandbox = Sandbox::new();
    let history = on_card("history");
    let flake = sandbox.path("flake");
    run("git", &["init", "-q", "--separate-git-dir", history.to_str().unwrap(), flake.to_str().unwrap()]);
    std::fs::write(flake.join("flake.nix"), "{ outputs = _: { }; }").unwrap();
    flash(&sandbox, &["--flake", flake.to_str().unwrap()])
        .assert_stderr_contains(words("the git history of the flake,", &history))
        .assert_code(3);
    assert!(
        ["files", "keys", "state", "tools", "history"].iter().all(|name| mounted.at().join(name).is_dir())
    );
}

/// The kernel lets a loop device be attached to a card that somebody has claimed.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_loop_device_that_is_attached_during_the_flash_stops_it() {
    let sandbox = Sandbox::new();
    let card = Loop::new(512 * MIB as u64);
    let file = pack(&sandbox.path("home"), "img", &image(400));
    let args =
        ["flash", "--image", file.to_str().unwrap(), card.device(), "--allow-virtual", "--mode", "full"];
    let mut command = sandbox.command(&[&args[..], &["--yes", "--expect-size", "512MiB"]].concat());
    let before = card.written();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while card.written() < before + 20 * MIB as u64 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let upper = Loop::over(Path::new(card.device()), &["--read-only"]);
    let written = card.written();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains(&format!("is in use: {} is behind {}", name(&card), name(&upper))), "{said}");
    assert!(said.contains("the first MiB of the card is blank, so it will not boot"), "{said}");
    // What was on its way has arrived, and no more.
    assert!(card.written() <= written + MIB as u64, "{} MiB more", (card.written() - written) / MIB as u64);
    drop(upper);
    assert!(crate::card::is_blank(&card.bytes()[..MIB]));
    sandbox.run(&[&args[..], &["--yes", "--expect-size", "512MiB"]].concat()).assert_code(0);
}

/// `nohup`, and `&` in a shell without job control, start programs so: what they ignore they still ignore.
#[test]
#[ignore = "needs root, FUSE and loop devices: run `cargo xtask test`"]
fn signals_ignored_at_the_start_stay_ignored() {
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)] {
        let mut run = Run::ignoring(name, Fault::StallsWrite(PLACE));
        kill_process_group(Pid::from_raw(run.pid().as_raw_nonzero().get()).unwrap(), signal).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let (code, said) = run.end();
        assert_eq!(code, Some(0), "{name}: {said}");
        assert!(run.card.medium().starts_with(&run.image));
    }
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
fn shell(script: &str) -> std::process::Child {
    Command::new("sh").args(["-c", script]).spawn().expect("running a shell")
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect(program).success(), "{program} {args:?}");
}
