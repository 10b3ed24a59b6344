//! Restores that are killed, that fill the disk, and whose state or image is unusual.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::card::{Card, MIB};
use crate::fake_flake::FakeFlake;
use crate::image::garbage;
use crate::restore::{CARD_MIB, Host, make_state};
use crate::support::image::stdout_of;
use crate::support::xtask::SignalTo;

/// A mount that is removed when a test ends.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// Mounts a file system in memory of `size` at the new folder `at`, which only its owner can read.
    fn in_memory(at: &'a Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=700");
        stdout_of("mount", &["-t", "tmpfs", "-o", &options, "none", at.to_str().unwrap()]);
        Self(at)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        stdout_of("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_killed_restore_is_completed_by_the_next_one() {
    let host = Host::new();
    let state = host.state.to_str().unwrap();
    let card = Card::new(CARD_MIB);
    let more = ["--json", "--state", state];
    for phase in ["measure", "unpack", "state", "read back", "check", "write", "verify"] {
        let args = FakeFlake::args("restore", card.device.device(), "96MiB", &more);
        let mut run = host.sandbox().xtask(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn();
        run.wait_for(&format!("\"name\":\"{phase}\""));
        run.signal(SignalTo::Tool, Signal::KILL);
        run.child.wait().unwrap();
        if !["write", "verify"].contains(&phase) {
            card.assert_unchanged();
        }
    }
    let outcome = host.flake.run("restore", card.device.device(), "96MiB", &more);
    outcome.assert_code(0);
    host.assert_nothing_left();
    host.sandbox().run(&["card", "verify", card.device.device()]).assert_code(0);
}

/// debugfs does not say that the disk is full.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_disk_that_is_full_is_named_before_the_card_is_touched() {
    let host = Host::new();
    let folder = host.sandbox().path("state/restore");
    let state = host.state.to_str().unwrap();
    let refuse = |code, text: &str| {
        let (outcome, card) = host.restore(&["--state", state]);
        outcome.assert_code(code).assert_stderr_contains(text);
        card.assert_unchanged();
        fs::read_dir(&folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("image-"))
    };
    let small = Mount::in_memory(&folder, "100M");
    assert_eq!(refuse(3, "the image with the state (14.0 MiB) takes up to").count(), 0);
    drop(small);
    for program in ["debugfs", "resize2fs"] {
        let _mount = Mount::in_memory(&folder, "512M");
        let filler = folder.join("filler").display().to_string();
        let body = format!("cat /dev/zero >{filler} 2>&-; exec /usr/sbin/{program} \"$@\"");
        host.sandbox().fake(program, &body);
        let left = refuse(5, "error: there is no room left for the image with the state in").count();
        assert_eq!(left, 0, "{program}");
        fs::remove_file(host.sandbox().path("bin").join(program)).unwrap();
    }
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn attributes_that_no_card_gets_are_warned_of() {
    let host = Host::new();
    let file = host.state.join("var/large");
    let set = |name: &str| {
        rustix::fs::setxattr(&file, name, b"x", rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("trusted.note");
    let archive = host.sandbox().path("home/state.tar").display().to_string();
    let state = host.state.to_str().unwrap();
    stdout_of("tar", &["--xattrs", "--xattrs-include=*", "-C", state, "-cf", &archive, "."]);
    for source in [state, &archive] {
        let (outcome, _card) = host.restore(&["--state", source]);
        outcome.assert_code(0);
        outcome.assert_stderr_contains("not restored: 1 set of extended attributes (ACLs, capabilities)");
        outcome.assert_stderr_contains("are restored without them: var/large");
    }
}

/// The partition cannot grow, and has no room for the state.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_partition_before_another_one_in_a_gpt_takes_what_fits() {
    let flake = FakeFlake::new(&gpt_image_with_a_partition_behind());
    let state = flake.sandbox.path("home/persist");
    make_state(&state);
    let card = Card::new(CARD_MIB);
    let device = card.device.device();
    let state = state.to_str().unwrap();
    flake.run("flash", device, "96MiB", &[]).assert_code(0);
    flake.run("restore", device, "96MiB", &["--state", state]).assert_code(0);
    assert_eq!(crate::host_image::debugfs(device, "cat /persist/var/data"), "state\n");
    fs::write(Path::new(state).join("huge"), garbage(40 * MIB)).unwrap();
    let before = card.device.bytes();
    let outcome = flake.run("restore", device, "96MiB", &["--state", state]);
    outcome.assert_code(3).assert_stderr_contains("hint: build an image with a larger NIXOS_SD");
    assert!(card.device.bytes() == before);
}

/// An image with a GPT, whose partition `NIXOS_SD` begins at 1 MiB, and has another one behind it.
fn gpt_image_with_a_partition_behind() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let [root, image] = ["root", "image"].map(|name| dir.path().join(name));
    fs::create_dir_all(root.join("store")).unwrap();
    fs::create_dir_all(root.join("persist")).unwrap();
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let image = image.to_str().unwrap();
    let script = dir.path().join("table");
    fs::write(&script, "label: gpt\nstart=1M, size=50M, type=linux\nstart=52M, size=8M, type=linux\n")
        .unwrap();
    let command = format!("sfdisk -q --no-reread --no-tell-kernel {image} <{}", script.display());
    stdout_of("sh", &["-c", &command]);
    let offset = "offset=1048576,lazy_itable_init=0,root_owner=0:0";
    let options = ["-q", "-F", "-t", "ext4", "-L", "NIXOS_SD", "-b", "4096", "-E", offset];
    stdout_of("/usr/sbin/mke2fs", &[&options[..], &["-d", root.to_str().unwrap(), image, "50M"]].concat());
    fs::read(image).unwrap()
}
