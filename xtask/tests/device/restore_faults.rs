//! Restores that are stopped, that get a hostile state, or whose image is written wrongly; and an image with a GPT.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::card::{Card, MIB};
use crate::fake_flake::FakeFlake;
use crate::host_image::{assert_sound, debugfs};
use crate::image::garbage;
use crate::restore::{CARD_MIB, Host, give_away, make_state};
use crate::support::image::stdout_of;
use crate::support::xtask::SignalTo;

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn an_interrupted_restore_leaves_the_card_and_the_state_folder_as_they_were() {
    let host = Host::new();
    fs::File::create(host.state.join("var/huge")).unwrap().set_len(4 << 30).unwrap();
    let state = host.state.to_str().unwrap();
    for text in ["\"name\":\"measure\"", "\"name\":\"state\""] {
        let card = Card::new(CARD_MIB);
        let args = FakeFlake::args("restore", card.device.device(), "96MiB", &["--json", "--state", state]);
        let args = args.iter().map(String::as_str).collect::<Vec<_>>();
        let mut run = host.sandbox().xtask(&args).spawn();
        run.wait_for(text);
        run.signal(SignalTo::Tool, Signal::INT);
        let outcome = run.finish();
        // Signals before the file is made end the process at once.
        assert!([130, -1].contains(&outcome.code), "{outcome:?}");
        card.assert_unchanged();
        host.assert_nothing_left();
    }
}

#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_state_that_a_link_leads_out_of_its_folder_is_refused() {
    let host = Host::new();
    let archive = host.sandbox().path("home/hostile.tar");
    let mut builder = tar::Builder::new(fs::File::create(&archive).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    for set in [tar::Header::set_uid, tar::Header::set_gid, tar::Header::set_mtime, tar::Header::set_size] {
        set(&mut header, 0);
    }
    header.set_mode(0o777);
    builder.append_link(&mut header, "way", "/store").unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1);
    builder.append_data(&mut header, "way/out", &b"x"[..]).unwrap();
    drop(builder.into_inner().unwrap());
    let (outcome, card) = host.restore(&["--state", archive.to_str().unwrap()]);
    outcome.assert_code(3);
    outcome.assert_stderr_contains(
        "/persist/way must be a folder for /persist/way/out, but is a file or a link",
    );
    card.assert_unchanged();
    host.assert_nothing_left();
}

/// debugfs goes on after an error, and exits with 0.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_state_that_is_not_written_as_it_should_be_is_found_before_the_card_is_touched() {
    let host = Host::new();
    let commands = host.sandbox().path("home/commands").display().to_string();
    for (change, text) in [
        ("s,^write [^ ]* data$,,", "/persist/var/data of the state is missing in the image"),
        ("s,^sif /persist/var/data uid .*,,", "/persist/var/data differs from the state"),
        (
            "s,^sif /persist/var/large mode .*,sif /persist/var/large mode 0100755,",
            "/persist/var/large differs",
        ),
        ("s,^sif /persist/var/sparse mtime .*,,", "/persist/var/sparse differs"),
        ("s,^symlink \\(.*\\) ../data$,symlink \\1 ../dat,", "/persist/var/link differs"),
    ] {
        let body = format!(
            "sed '{change}' \"$3\" >{commands}; exec /usr/sbin/debugfs \"$1\" \"$2\" {commands} \"$4\""
        );
        host.sandbox().fake("debugfs", &body);
        give_away(&host.state);
        let (outcome, card) = host.restore(&["--state", host.state.to_str().unwrap()]);
        outcome.assert_code(4).assert_stderr_contains(text);
        card.assert_unchanged();
        host.assert_nothing_left();
    }
}

/// The partition of an image with a GPT grows in both tables.
#[test]
#[ignore = "needs root, loop devices and e2fsprogs: run `cargo xtask test`"]
fn a_partition_in_a_gpt_grows_too() {
    let flake = FakeFlake::new(&gpt_image());
    let state = flake.sandbox.path("home/persist");
    make_state(&state);
    let card = Card::new(CARD_MIB);
    let device = card.device.device();
    flake.run("flash", device, "96MiB", &[]).assert_code(0);
    let outcome = flake.run("restore", device, "96MiB", &["--json", "--state", state.to_str().unwrap()]);
    let result = outcome.assert_code(0).json();
    let size = usize::try_from(result["report"]["bytes"].as_u64().unwrap()).unwrap();
    assert_sound(device);
    assert_eq!(debugfs(device, "cat /persist/var/data"), "state\n");
    let image = flake.sandbox.path("home/image");
    fs::write(&image, &card.device.bytes()[..size]).unwrap();
    let image = image.to_str().unwrap();
    assert!(stdout_of("/usr/sbin/sfdisk", &["--verify", image]).contains("No errors detected"));
    let table: Value = serde_json::from_str(&stdout_of("/usr/sbin/sfdisk", &["-J", image])).unwrap();
    let partition = &table["partitiontable"]["partitions"][0];
    let sectors = usize::try_from(partition["size"].as_u64().unwrap()).unwrap();
    assert_eq!(sectors * 512, size - 4 * MIB, "{table}");
}

/// An image with a GPT, whose partition `NIXOS_SD` begins as that of [`host_image`], 3 MiB before the end.
fn gpt_image() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let [root, image] = ["root", "image"].map(|name| dir.path().join(name));
    fs::create_dir_all(root.join("store")).unwrap();
    fs::write(root.join("store/path"), garbage(MIB)).unwrap();
    fs::File::create(&image).unwrap().set_len(44 << 20).unwrap();
    let image = image.to_str().unwrap();
    let script = dir.path().join("table");
    fs::write(&script, "label: gpt\nstart=1M, size=40M, type=linux\n").unwrap();
    let command = format!("sfdisk -q --no-reread --no-tell-kernel {image} <{}", script.display());
    stdout_of("sh", &["-c", &command]);
    let offset = "offset=1048576,lazy_itable_init=0,root_owner=0:0";
    let options = ["-q", "-F", "-t", "ext4", "-L", "NIXOS_SD", "-b", "4096", "-E", offset];
    stdout_of("/usr/sbin/mke2fs", &[&options[..], &["-d", root.to_str().unwrap(), image, "40M"]].concat());
    fs::read(image).unwrap()
}
