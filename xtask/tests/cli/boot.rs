//! `boot` with a fake QEMU: arguments, the console, results and errors.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::xtask::SignalTo;
use crate::support::{Outcome, Sandbox, sha256};

/// The size of the card in bytes.
const CARD_SIZE: u64 = 3 << 20;

/// A sandbox with a card, a U-Boot and a fake QEMU that runs the shell script `console`.
pub fn sandbox(console: &str) -> Sandbox {
    let mut sandbox = Sandbox::new();
    sandbox.fake("qemu-img", "").fake("qemu-system-aarch64", console);
    fs::write(sandbox.path("u-boot.bin"), "U-Boot").unwrap();
    let uboot = sandbox.path("u-boot.bin");
    sandbox.env("XTASK_UBOOT", uboot);
    fs::write(card(&sandbox), vec![7; usize::try_from(CARD_SIZE).unwrap()]).unwrap();
    sandbox
}

fn card(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("card.img")
}

/// Runs `boot CARD ARGS`.
fn boot(sandbox: &Sandbox, args: &[&str]) -> Outcome {
    let card = card(sandbox);
    sandbox.run(&[&["boot", card.to_str().unwrap()], args].concat())
}

/// A console that starts a kernel and ends with the unfinished line `prompt`.
pub fn console_with_prompt(prompt: &str) -> String {
    format!("echo 'Starting kernel ...'; printf '{prompt}'; exec sleep 60")
}

/// The files that boots have left in the state folder.
fn left_files(sandbox: &Sandbox) -> Vec<String> {
    let names = sandbox.path("state/boot").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_login_prompt_proves_the_boot_of_a_card_without_an_identity() {
    let sandbox = sandbox(&console_with_prompt("\\033[?7hpi login: "));
    let before = sha256(&fs::read(card(&sandbox)).unwrap());
    let outcome = boot(&sandbox, &[]);
    let card = card(&sandbox).display().to_string();
    let (name, proof) = outcome.assert_code(0).stdout.split_once(" is up in virt after ").unwrap();
    assert_eq!(name, card);
    assert!(proof.ends_with(" s: the console printed the login prompt \"pi login:\"\n"), "{proof}");
    outcome.assert_stderr(format!(
        "boot    {card}: 3.0 MiB, as a card of 3.0 MiB in virt\n\
         change  nothing: what the host writes is removed with the snapshot\n\
         until   the console prints a login prompt (no receipt names an identity; --identity-of HOST does); at most 5 min\n  \
         | Starting kernel ...\n"
    ));
    assert_eq!(sha256(&fs::read(&card).unwrap()), before);
    assert_eq!(left_files(&sandbox), ["lock"]);

    let folder = sandbox.calls("qemu-img")[0][8].strip_suffix("/card.qcow2").unwrap().to_owned();
    assert!(Path::new(&folder).parent().unwrap() == sandbox.path("state/boot"), "{folder}");
    let overlay = format!("{folder}/card.qcow2");
    let size = CARD_SIZE.to_string();
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &card, &overlay, &size];
    assert_eq!(sandbox.calls("qemu-img"), [create]);
    let uboot = sandbox.path("u-boot.bin").display().to_string();
    let drive = format!("file={overlay},if=none,id=card,format=qcow2,cache=unsafe");
    let expected = format!(
        "-M virt,gic-version=3 -cpu cortex-a53 -smp 2 -m 1G -netdev user,id=net,restrict=on -device \
         virtio-net-pci,netdev=net,romfile= -bios {uboot} -drive {drive} -device virtio-blk-pci,drive=card -serial stdio \
         -display none -monitor none -no-reboot"
    );
    assert_eq!(sandbox.calls("qemu-system-aarch64")[0].join(" "), expected);
}

#[test]
fn the_text_of_expect_is_the_only_proof() {
    let sandbox = sandbox(&console_with_prompt("pi login: \\nready 7\\n"));
    let outcome = boot(&sandbox, &["--expect", "ready", "--json"]);
    let result = outcome.assert_code(0).json();
    assert_eq!(result["proof"], serde_json::json!({ "by": "console", "line": "ready 7" }));
    assert_eq!((&result["machine"], &result["card"]["bytes"]), (&"virt".into(), &CARD_SIZE.into()));
    outcome.assert_stderr_contains(r#""event":"log","text":"Starting kernel ..."}"#);
}

#[test]
fn a_boot_without_proof_fails_with_the_last_lines_of_the_console() {
    for (console, args, code, expected) in [
        (
            "echo BOOTP broadcast 1; exec sleep 60",
            &[][..],
            4,
            "CARD: booting in virt: U-Boot found nothing to boot on the card: the console printed \"BOOTP broadcast 1\"\n  \
             | BOOTP broadcast 1\nhint: `cargo xtask card inspect CARD` shows what a boot needs and the card lacks\n",
        ),
        (
            "echo Starting kernel; echo; echo Kernel panic - not syncing; exec sleep 60",
            &[],
            4,
            "CARD: booting in virt: the console printed \"Kernel panic - not syncing\"\n  | Starting kernel\n  | Kernel panic - \
             not syncing\nhint: ",
        ),
        (
            "echo Starting kernel; exec sleep 60",
            &["--timeout", "1s"],
            4,
            "CARD: booting in virt: the boot lacks a login prompt on the console after 1 s\n  | Starting kernel\nhint: the kernel prints \
             where its console= says",
        ),
        (
            "echo Starting kernel",
            &["--expect", "up"],
            4,
            "CARD: booting in virt: the machine was switched off or rebooted before \"up\" on the console\n  | Starting kernel",
        ),
        (
            "echo no such machine >&2; exit 1",
            &[],
            1,
            "CARD: booting in virt: the emulator exited with code 1 before a login prompt on the console\n  | no such machine\n",
        ),
    ] {
        assert_fails(console, args, code, expected);
    }
}

/// Asserts that the boot of a card with the options `args`, in a QEMU that runs the shell script `console`, fails with
/// `code` and prints `expected`, in which `CARD` stands for the card.
#[track_caller]
fn assert_fails(console: &str, args: &[&str], code: i32, expected: &str) {
    let mut sandbox = sandbox(console);
    let path = card(&sandbox);
    sandbox.env("CARD", path);
    let outcome = boot(&sandbox, args);
    outcome.assert_code(code).assert_stdout("");
    outcome.assert_stderr_contains(expected.replace("CARD", &card(&sandbox).display().to_string()));
    assert_eq!(left_files(&sandbox), ["lock"]);
}

#[test]
fn an_emulator_that_is_old_or_hangs_and_a_card_that_changes_are_named() {
    for (console, code, expected) in [
        (
            "[ \"$1\" = --version ] && echo 'QEMU emulator version 4.2.1 (Debian)' && exit; echo unsupported machine >&2; exit 1",
            1,
            "  | unsupported machine\nhint: qemu-system-aarch64 is of QEMU 4.2, and boots need QEMU 5.2 or newer\n",
        ),
        // A QEMU that ignores interrupts is killed.
        (
            "trap '' INT; echo Kernel panic - not syncing; exec sleep 60",
            4,
            "CARD: booting in virt: the console printed \"Kernel panic - not syncing\"\n  | Kernel panic",
        ),
        (
            "truncate -s 1M \"$CARD\"; echo Kernel panic - not syncing; exec sleep 60",
            3,
            "error: the card has changed while it booted: CARD is not the card that was confirmed: its size was 3145728 and is \
             1048576\n",
        ),
    ] {
        assert_fails(console, &[], code, expected);
    }
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let bare = Sandbox::with_fakes_only();
    fs::write(bare.path("card.img"), "card").unwrap();
    let card = bare.path("card.img").display().to_string();
    let outcome = bare.run(&["boot", &card]);
    let text = "error: no qemu-system-aarch64 and no qemu-img on PATH\nhint: run `cargo xtask setup --boot`, or install";
    outcome.assert_code(3).assert_stderr_contains(text);

    let mut sandbox = sandbox("");
    sandbox.env("XTASK_UBOOT", "/none");
    boot(&sandbox, &[])
        .assert_code(3)
        .assert_stderr_contains("error: XTASK_UBOOT names /none, which is not a file\nhint: let it name ");
    boot(&sandbox, &["--machine", "raspi3b"]).assert_code(3).assert_stderr_contains("no partition table");
}

#[test]
fn a_card_that_cannot_be_booted_is_refused_with_its_remedy() {
    let sandbox = sandbox("");
    let path = card(&sandbox);
    boot(&sandbox, &["--identity-of", "pi"]).assert_code(3).assert_stderr_contains(
        "error: no known_hosts of the project has an ed25519 key of pi\nhint: flash a card",
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    boot(&sandbox, &[]).assert_code(6).assert_stderr_contains(format!(
        "error: this user may not read {0}, and the emulator runs as this user\nhint: run `sudo setfacl -m u:$USER:r {0}`",
        path.display()
    ));
    let packed = sandbox.path("card.img.gz");
    fs::write(&packed, b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
    let packed = packed.to_str().unwrap();
    let text = format!("error: {packed} is compressed, and no card\nhint: pass --image {packed}\n");
    sandbox.run(&["boot", packed]).assert_code(2).assert_stderr(text);
    fs::write(sandbox.path("flake/x.img"), "").unwrap();
    let outcome = sandbox.xtask(&["boot", "x.img"]).current_dir(sandbox.path("flake")).run();
    outcome.assert_code(2).assert_stderr(
        "error: x.img is a file, and a bare name is that of a host\nhint: pass --image x.img, or ./x.img for a file with the \
         content of a card\n",
    );
    assert!(sandbox.calls("qemu-system-aarch64").is_empty());
}

#[test]
fn ctrl_c_ends_the_emulator_and_removes_the_snapshot() {
    let sandbox = sandbox(&console_with_prompt(""));
    let path = card(&sandbox);
    let outcome = sandbox.xtask(&["boot", path.to_str().unwrap()]).interrupt_at("Starting kernel");
    outcome.assert_code(130).assert_stdout("").assert_stderr_contains(format!(
        "error: stopped; {} is unchanged, and the snapshot is removed\n",
        path.display()
    ));
    assert_eq!(left_files(&sandbox), ["lock"]);
}

#[test]
fn every_stop_signal_once_or_twice_ends_the_emulator_and_removes_the_snapshot() {
    use rustix::process::Signal;
    for signals in [&[Signal::INT, Signal::INT][..], &[Signal::TERM], &[Signal::HUP, Signal::INT]] {
        let sandbox = sandbox(&console_with_prompt(""));
        let mut run = sandbox.xtask(&["boot", card(&sandbox).to_str().unwrap()]).spawn();
        run.wait_for("Starting kernel");
        for signal in signals {
            run.signal(SignalTo::Group, *signal);
        }
        run.finish().assert_code(130).assert_stderr_contains("and the snapshot is removed\n");
        assert_eq!(left_files(&sandbox), ["lock"], "{signals:?}");
    }
}

#[test]
fn the_emulator_dies_with_a_killed_run_and_the_next_run_removes_its_files() {
    let sandbox = sandbox("echo \"emulator $$\"; trap '' INT TERM HUP PIPE; exec sleep 600");
    let path = card(&sandbox);
    let mut run = sandbox.xtask(&["boot", path.to_str().unwrap()]).spawn();
    let line = run.wait_for("emulator ");
    let emulator = line.trim_end().rsplit(' ').next().unwrap();
    assert!(is_running(emulator));
    run.signal(SignalTo::Tool, rustix::process::Signal::KILL);
    run.child.wait().unwrap();
    let start = std::time::Instant::now();
    while is_running(emulator) {
        assert!(start.elapsed().as_secs() < 60, "the emulator outlives the tool");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(left_files(&sandbox).len(), 2);
    boot(&sandbox, &["--timeout", "1s"]).assert_code(4);
    assert_eq!(left_files(&sandbox), ["lock"]);
}

/// Whether the process `pid` has not ended. Nobody may have waited for it yet.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_card_that_is_booted_is_locked_against_writers() {
    use rustix::fs::{FlockOperation, flock};
    let sandbox = sandbox(&console_with_prompt(""));
    let path = card(&sandbox);
    let mut run = sandbox.xtask(&["boot", path.to_str().unwrap()]).spawn();
    run.wait_for("Starting kernel");
    let file = fs::File::open(&path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap_err();
    // A second boot of the same card is no writer.
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
    run.signal(SignalTo::Group, rustix::process::Signal::INT);
    run.finish().assert_code(130);
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    boot(&sandbox, &[]).assert_code(3).assert_stderr_contains("another program holds the lock of");
    assert_eq!(sandbox.calls("qemu-system-aarch64").len(), 1);
}
