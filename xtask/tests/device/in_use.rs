//! The refusals of `flash` of a card that something uses: a mount, the swap, a claim or a lock.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::{wait_for_worker_end, worker_of};
use crate::refusals::{CONFIRMED, MIB, assert_refused, flash, small_image};
use crate::support::Sandbox;
use crate::support::loops::{Loop, Mounted, Swap, make_ext4};
use crate::support::xtask::Running;

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_mounted_card_is_refused() {
    let card = Loop::attach(64 * MIB, &[], make_ext4);
    let mounted = Mounted::new(card.device());
    std::fs::write(mounted.mount_point().join("photo"), "precious").unwrap();
    let device = card.device();
    let at = mounted.mount_point().display();
    let name = device.strip_prefix("/dev/").unwrap();
    let text = format!("{device} is in use: {name} is mounted at {at}\nhint: run `umount {at}`");
    assert_refused(device, CONFIRMED, &text);
    let backing_file = card.backing_file();
    let through = format!("is mounted at {at} through {name}");
    assert_refused(backing_file.to_str().unwrap(), CONFIRMED, &through);
    assert_eq!(std::fs::read_to_string(mounted.mount_point().join("photo")).unwrap(), "precious");
}

/// The name and the id of this process in the form of messages.
fn own_process() -> String {
    let name = std::fs::read_to_string("/proc/self/comm").expect("reading the name of this process");
    format!("{} ({})", name.trim(), std::process::id())
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_mounted_in_another_mount_namespace_is_refused() {
    let card = Loop::attach(64 * MIB, &[], make_ext4);
    let at = tempfile::tempdir().unwrap();
    let script = format!("mount {} {} && echo mounted && exec sleep 60", card.device(), at.path().display());
    #[expect(clippy::disallowed_methods, reason = "the suites use the machine's own programs")]
    let mut command = std::process::Command::new("unshare");
    let command = command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 8]).unwrap();
    let outcome = flash(card.device(), CONFIRMED);
    child.kill().and_then(|()| child.wait()).unwrap();
    outcome.assert_code(3).assert_stderr_contains(format!(
        "{} is in use: it is mounted at {} in the mount namespace of ",
        card.device(),
        at.path().display()
    ));
    outcome.assert_stderr_contains(format!("({})\nhint: unmount it there, or end ", child.id()));
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_is_mounted_in_a_home_is_in_use_and_no_disk_of_the_system() {
    for folder in ["/root", "/home", "/var/tmp", "/var"] {
        let card = Loop::attach(64 * MIB, &[], make_ext4);
        let dir = tempfile::tempdir_in(folder).unwrap();
        let mounted = Mounted::at_folder(card.device(), dir.path());
        let at = mounted.mount_point().display();
        let name = card.device().strip_prefix("/dev/").unwrap();
        let text = format!(
            "{} is in use: {name} is mounted at {at}\nhint: run `umount {at}`, or pass --unmount to `flash`",
            card.device()
        );
        assert_refused(card.device(), CONFIRMED, &text);
        flash(card.device(), &[CONFIRMED, &["--unmount"]].concat()).assert_code(0);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_used_as_swap_is_refused() {
    let card = Loop::new(64 * MIB);
    let swap = Swap::on(card.device());
    let name = card.device().trim_start_matches("/dev/");
    let text = format!("{} is a disk of the running system: {name} is used as swap", card.device());
    assert_refused(card.device(), &[CONFIRMED, &["--unmount"]].concat(), &text);
    drop(swap);
}

/// The kernel's exclusive claim is for one device only; another loop device over the same file has a claim of its own.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_mounted_through_another_loop_device_is_refused() {
    let card = Loop::attach(64 * MIB, &[], make_ext4);
    let mounted = Mounted::new(card.device());
    std::fs::write(mounted.mount_point().join("photo"), "precious").unwrap();
    let other = Loop::over(&card.backing_file(), &[]);
    let name = card.device().strip_prefix("/dev/").unwrap();
    let at = mounted.mount_point().display();
    assert_refused(other.device(), CONFIRMED, &format!("is mounted at {at} through {name}"));
    assert_eq!(std::fs::read_to_string(mounted.mount_point().join("photo")).unwrap(), "precious");
}

/// A process that holds the lock of a card until this value is dropped.
struct Locked(std::process::Child);

impl Locked {
    fn new(device: &str) -> Self {
        let script = format!("exec 9<{device} && flock --nonblock 9 && echo locked && read -r line");
        #[expect(clippy::disallowed_methods, reason = "the suites use the machine's own programs")]
        let mut command = std::process::Command::new("sh");
        let command = command.args(["-c", &script]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        let stdout = child.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(stdout, &mut [0; 7]).expect("the lock of the card");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_another_program_claims_or_locks_is_refused() {
    let card = Loop::new(64 * MIB);
    let claim =
        OpenOptions::new().read(true).custom_flags(OFlags::EXCL.bits().cast_signed()).open(card.device());
    let claim = claim.unwrap();
    let own = own_process();
    // A child that another test is starting has inherited the file, and may be named after this process.
    let text = format!("{} is in use: {own}", card.device());
    let outcome = flash(card.device(), CONFIRMED);
    outcome.assert_code(3).assert_stderr_contains(text).assert_stderr_contains(format!("hint: end {own}"));
    drop(claim);
    wait_for_worker_end(card.device());
    let locked = Locked::new(card.device());
    let own = format!("sh ({})", locked.0.id());
    let text =
        format!("another program holds the lock of {}: {own}\nhint: wait until it ends", card.device());
    assert_refused(card.device(), CONFIRMED, &text);
    drop(locked);
    assert!(std::fs::read(card.backing_file()).unwrap().iter().all(|byte| *byte == 0));
    flash(card.device(), CONFIRMED).assert_code(0);
    assert_eq!(std::fs::read(card.backing_file()).unwrap()[..1 << 20], small_image());
}

/// Stops the worker of `flash` as soon as it has `device` open, and returns its process id.
fn stop_worker(flash: &Running, device: &str) -> Pid {
    let start = Instant::now();
    loop {
        let worker = worker_of(&flash.child);
        let has_card = |worker: Pid| {
            let folder = format!("/proc/{}/fd", worker.as_raw_nonzero());
            let links = std::fs::read_dir(folder).into_iter().flatten().flatten();
            links
                .filter_map(|link| std::fs::read_link(link.path()).ok())
                .any(|file| file == Path::new(device))
        };
        if let Some(worker) = worker.filter(|worker| has_card(*worker)) {
            kill_process(worker, Signal::STOP).expect("stopping the worker");
            return worker;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no worker has the card open");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn another_flash_of_the_card_is_waited_for() {
    let card = Loop::new(64 * MIB);
    let sandbox = Sandbox::new();
    let image = [small_image(), vec![5; 48 << 20]].concat();
    let file = sandbox.path("card.img");
    std::fs::write(&file, &image).unwrap();
    let args = [&["flash", "--image", file.to_str().unwrap(), card.device()], CONFIRMED].concat();
    let mut first = sandbox.xtask(&args).spawn();
    let worker = stop_worker(&first, card.device());
    let error = sandbox.run(&[&args[..], &["--json"]].concat()).assert_code(3).json_error();
    kill_process(worker, Signal::CONT).unwrap();
    let [message, hint] = ["message", "hint"].map(|field| error[field].as_str().unwrap_or_default());
    assert!(message.contains(&format!("xtask ({})", worker.as_raw_nonzero())), "{error}");
    assert!(hint.starts_with("wait until xtask (") && hint.ends_with(" done"), "{error}");
    let reason = serde_json::json!({ "kind": "in_use", "message": message, "hint": hint });
    assert_eq!(error["reasons"], serde_json::json!([reason]));
    first.finish().assert_code(0);
    assert!(card.bytes().starts_with(&image));
}
