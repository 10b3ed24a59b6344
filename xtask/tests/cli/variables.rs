//! Variables of the environment that name no flake and no state folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::fake_nix::{Answers, fail_script};
use crate::support::Sandbox;

#[test]
fn a_variable_that_names_no_flake_is_a_usage_error() {
    let nix = Answers { names: fail_script("error: input 'no:flake' is unsupported"), ..Answers::default() }
        .install();
    let home = nix.path("home");
    fs::create_dir(home.join(".git")).unwrap();
    fs::write(home.join("flake.nix"), "").unwrap();
    for args in [&["hosts"][..], &[]] {
        let run = |flake: &OsStr| nix.xtask(args).current_dir(&home).env("XTASK_FLAKE", flake).run();
        run(OsStr::new("no:flake")).assert_code(2).assert_stderr_contains(
            "error: nix failed on no:flake: input 'no:flake' is unsupported\nhint: name a folder",
        );
        // The flake of the working folder must not take its place.
        run(OsStr::from_bytes(b"/pis\xff"))
            .assert_code(2)
            .assert_stderr_contains("error: reading XTASK_FLAKE: `/pis")
            .assert_stderr_contains("hint: name the folder of your flake as path:/pis%FF\n");
    }
}

#[test]
fn a_variable_that_names_no_state_folder_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("file");
    fs::write(&file, "precious").unwrap();
    let hint = "hint: let XTASK_STATE name a folder for keys, receipts and logs, or unset it\n";
    let not_utf8 = OsStr::from_bytes(b"/tmp/state\xff");
    for args in [&["history"][..], &["identity", "list"], &["identity", "make", "pi", "--yes"], &["log"], &[]]
    {
        let run = |state: &OsStr| sandbox.xtask(args).env("XTASK_STATE", state).run();
        for state in [file.clone(), file.join("below")] {
            let outcome = run(state.as_os_str());
            outcome.assert_code(2).assert_stderr_contains(hint);
            outcome.assert_stderr_contains(format!("but {} is no folder\n", file.display()));
        }
        run(not_utf8)
            .assert_code(2)
            .assert_stderr_contains("XTASK_STATE is not UTF-8: ")
            .assert_stderr_contains(hint);
    }
    // A command that keeps nothing there needs no folder.
    sandbox.xtask(&["devices"]).env("XTASK_STATE", &file).run().assert_code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}
