//! The files of the tool: other users can neither read, plant nor swap them. Receipts are among them.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use xtask::base::program_file;

use crate::fake_nix::FLAKE;
use crate::flash::{build_with_image, image_bytes, make_card};
use crate::support::{Outcome, Sandbox};

const MIB: usize = 1 << 20;
/// The user id of another user.
const OTHER_USER: u32 = 65_534;

/// The permissions of a file.
fn mode(path: &Path) -> u32 {
    path.metadata().expect("reading the mode of a file").permissions().mode() & 0o777
}

/// Writes an image and the new card `name` in `sandbox`, and returns the arguments that flash the image to the card.
fn flash_args(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let file = sandbox.path("home").join("a.img");
    let card = sandbox.path(name);
    fs::write(&file, image_bytes()).expect("writing an image");
    fs::write(&card, vec![0xee; 4 * MIB]).expect("making a card");
    let [file, card] = [file, card].map(|path| path.display().to_string());
    ["flash", "--image", &file, &card, "--allow-virtual", "--yes", "--expect-size", "4MiB"]
        .map(str::to_owned)
        .to_vec()
}

fn run(sandbox: &Sandbox, args: &[String]) -> Outcome {
    sandbox.run(&as_strs(args))
}

fn as_strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn eight_parallel_flashes_leave_eight_receipts() {
    let sandbox = Sandbox::new();
    let all = (0..8).map(|number| flash_args(&sandbox, &format!("card{number}"))).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let sandbox = &sandbox;
        for args in &all {
            scope.spawn(move || {
                run(sandbox, args).assert_code(0);
            });
        }
    });
    let receipts = sandbox.run(&["--json", "history"]).assert_code(0).json();
    let receipts = receipts["receipts"].as_array().unwrap();
    let cards = receipts.iter().map(|receipt| receipt["card"]["device"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(cards.len(), 8, "{receipts:#?}");
    assert_eq!(receipts.len(), 8, "{receipts:#?}");
    assert_eq!(fs::read_dir(sandbox.path("state/receipts")).unwrap().count(), 8);
}

#[test]
fn commands_warn_of_unreadable_receipts_and_history_of_future_dates() {
    let nix = build_with_image().0.install();
    let receipts = nix.path("state/receipts");
    run(&nix, &flash_args(&nix, "card")).assert_code(0);
    rustix::fs::mkfifoat(rustix::fs::CWD, receipts.join("9.json"), 0o600.into()).unwrap();
    fs::File::create(receipts.join("8.json")).unwrap().set_len(1 << 40).unwrap();
    let text = format!("warning: 2 receipts in {} could not be read: ", receipts.display());
    let device = nix.path("card").display().to_string();
    assert!(nix.run(&["history"]).assert_stderr_contains(&text).assert_code(0).stdout.contains("  flash  "));
    nix.run(&["card", "verify", &device]).assert_stderr_contains(&text).assert_code(0);
    nix.run(&["--flake", FLAKE, "status", "stinky"]).assert_stderr_contains(&text);
    fs::write(receipts.join("999999-2100-01-01T000000Z-deploy-x.json"), r#"{"kind":"deploy","when":"2100-01-01T00:00:00Z",
        "host":"x","flake":"/src","from":null,"to":"/nix/store/x","verdict":"done","exit_code":0,"seconds":[]}"#).unwrap();
    nix.run(&["history"]).assert_stderr_contains(
        "warning: 1 of 2 receipts is dated in the future: the clock was wrong then, or is wrong now",
    );
}

/// Some containers run programs with the umask 000.
#[test]
fn state_files_are_private_whatever_the_umask() {
    let sandbox = Sandbox::new();
    let args = flash_args(&sandbox, "card");
    let shell = ["sh", "-c", "umask 000; exec \"$@\"", "sh"];
    sandbox.xtask(&as_strs(&args)).wrapped_in(&shell).run().assert_code(0);
    let state = sandbox.path("state");
    let mut paths = vec![state.clone()];
    let mut files = 0;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
            paths.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 1, "{}", state.display());
}

mod as_root {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    #[ignore = "needs root: run `cargo xtask test`"]
    fn a_state_folder_of_another_user_is_refused() {
        let nix = build_with_image().0.install();
        let state = nix.path("state");
        let keys = state.join("identity/stinky");
        fs::create_dir_all(&keys).unwrap();
        fs::create_dir_all(state.join("receipts")).unwrap();
        let planted =
            "stinky ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw\n";
        fs::write(state.join("identity/known_hosts"), planted).unwrap();
        for path in [&state, &state.join("identity"), &keys] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
            chown(path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        }
        let text =
            format!("{} belongs to user 65534, who could change the files of user 0 there", state.display());
        for args in [&["history"][..], &["identity", "make", "stinky"], &["identity", "show", "stinky"]] {
            nix.run(args).assert_stderr_contains(&text).assert_code(3);
        }
        let device = make_card(&nix).display().to_string();
        let options = ["--allow-virtual", "--yes", "--expect-size", "4MiB"];
        let flash = |words: &[&str]| nix.run(&[&["--flake", FLAKE, "flash"], words, &options[..]].concat());
        flash(&["stinky", &device]).assert_stderr_contains(&text).assert_code(3);
        assert!(fs::read(&device).unwrap().iter().all(|byte| *byte == 0xee));
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 0);
        // Without an identity the state folder is needed for the receipt alone.
        let file = nix.path("home").join("a.img").display().to_string();
        fs::write(&file, image_bytes()).unwrap();
        let outcome = flash(&["--image", &file, &device]);
        outcome
            .assert_stderr_contains("warning: no receipt of this flash was written: writing a receipt to ")
            .assert_stderr_contains(&text)
            .assert_code(0);
    }
}

#[test]
fn a_state_folder_that_others_can_write_to_is_refused() {
    let sandbox = Sandbox::new();
    let state = sandbox.path("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    let text = format!("run `chmod go-w {0}`, or use a folder of your own", state.display());
    for args in [&["history"][..], &["identity", "make", "pi"]] {
        sandbox.run(args).assert_stderr_contains(&text).assert_code(3);
    }
    let away = sandbox.path("away");
    fs::rename(&state, &away).unwrap();
    symlink(&away, &state).unwrap();
    sandbox.run(&["history"]).assert_stderr_contains(format!("chmod go-w {}", away.display())).assert_code(3);
    fs::set_permissions(&away, Permissions::from_mode(0o755)).unwrap();
    sandbox.run(&["history"]).assert_code(0);
}

#[test]
fn a_fifo_in_place_of_the_check_cache_does_not_block() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    fs::create_dir(nix.path("state")).unwrap();
    let cache = nix.path("state/checked-images.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &cache, 0o600.into()).unwrap();
    // The check of a file that has changed in the last 100 ms is not cached.
    std::thread::sleep(std::time::Duration::from_millis(150));
    let device = make_card(&nix).display().to_string();
    let args =
        ["--flake", FLAKE, "flash", "stinky", &device, "--identity", "none", "--allow-virtual", "--yes"];
    nix.run(&[&args[..], &["--expect-size", "4MiB"]].concat()).assert_code(0);
    assert!(cache.is_file() && mode(&cache) == 0o600);
}

#[test]
fn tools_in_a_folder_that_others_can_write_to_are_not_run() {
    let sandbox = Sandbox::with_fakes_only();
    let tools = sandbox.path("tools");
    let ran = sandbox.path("ran");
    fs::create_dir(tools.join("bin")).unwrap();
    let nix = tools.join("bin/nix");
    program_file::write(&nix, format!("#!/bin/sh\ntouch {}\n", ran.display()), 0o755).unwrap();
    sandbox.run(&["doctor"]);
    assert!(ran.exists());
    fs::remove_file(&ran).unwrap();
    fs::set_permissions(&tools, Permissions::from_mode(0o777)).unwrap();
    let text =
        format!("warning: the tools that setup installed are not used: {} has mode 0777", tools.display());
    sandbox.run(&["doctor"]).assert_stderr_contains(&text).assert_code(3);
    assert!(!ran.exists());
}
