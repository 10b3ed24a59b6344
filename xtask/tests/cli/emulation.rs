//! Each verdict on emulation, of a real kernel: in a table of `binfmt_misc` of the test's own, which Linux has from 6.7
//! on in user namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of a suite panic like its tests")]

use std::fs;
use std::os::unix::fs::symlink;

use crate::fake_nix::{Answers, FakeNix, config_json, print_script};
use crate::support::binfmt;

/// A case: the steps that make the table, the settings of Nix beside `extra-platforms`, and the expected verdict.
type Case = (&'static str, &'static str, bool, &'static str);

/// The table and the settings, and what `doctor` says. In the steps, `$B` is the table; the folder `$E` has the
/// emulators `static` and `dynamic`.
const CASES: &[Case] = &[
    ("register e $E/static F", "", true, "emulated by binfmt_misc"),
    ("register e $E/static POF; rm $E/static", "", true, "emulated by binfmt_misc"),
    (
        "register e $E/static",
        "",
        false,
        "the sandbox lacks the emulator $E/static (the binfmt_misc entry of this emulator lacks the flag F)",
    ),
    ("register e $E/static", r#""sandbox-paths":["$E"]"#, true, "emulated by binfmt_misc"),
    ("register e $E/static", r#""sandbox-paths":{"$E":{"source":"$E"}}"#, true, "emulated by binfmt_misc"),
    ("register e $E/static", r#""sandbox-paths":["$E?","/no/such/path?"]"#, true, "emulated by binfmt_misc"),
    ("register e $E/static", r#""sandbox-paths":["/elsewhere=$E"]"#, false, "the sandbox lacks the emulator"),
    ("register e $E/static", r#""sandbox":false"#, true, "emulated by binfmt_misc"),
    // The kernel has opened the emulator, but the sandbox lacks its loader and its libraries.
    ("register e $E/dynamic F", "", false, "the emulator $E/dynamic is not static"),
    ("register e $E/dynamic", r#""sandbox-paths":["$E"]"#, false, "the sandbox lacks the emulator"),
    (
        "register e $E/dynamic F",
        r#""sandbox-paths":["/lib","/lib64","/usr/lib","/usr/lib64","/nix/store?"]"#,
        true,
        "emulated by binfmt_misc",
    ),
    // Where no root can be made, there is no verdict on what only a root can show.
    (
        "register e $E/static F; forbid=yes",
        "",
        true,
        "emulated by binfmt_misc; untested in the sandbox of nix: making a user namespace: ",
    ),
    ("register e $E/static; forbid=yes", "", false, "the sandbox lacks the emulator"),
    ("register e $E/static F; echo 0 >$B/e", "", false, "the binfmt_misc entry e is disabled"),
    ("register e $E/static F; echo 0 >$B/status", "", false, "binfmt_misc is disabled"),
    ("register e $E/gone", "", false, "the binfmt_misc entry e names $E/gone, which does not exist"),
    (
        "register old $E/static F; sleep 0.1; register new $E/gone",
        "",
        false,
        "the newer binfmt_misc entry new, whose emulator does not exist, shadows the entry old",
    ),
    ("register e /bin/false", "", false, "the emulator /bin/false of the binfmt_misc entry e fails"),
    ("true", "", false, "binfmt_misc has no entry for it"),
    ("mount -t tmpfs none $B", "", false, "binfmt_misc is not mounted"),
    (
        "register e $E/static F",
        r#""extra-platforms":[]"#,
        false,
        "the kernel runs its programs, but nix.conf does not list it in extra-platforms",
    ),
];

/// A fake nix with `settings`, and the programs that a private table takes.
fn nix_with(settings: &str) -> FakeNix {
    let mut config: serde_json::Value =
        serde_json::from_str(&config_json(r#"["aarch64-linux"]"#, "")).unwrap();
    config["sandbox"] = serde_json::json!({ "value": true });
    let settings: serde_json::Value = serde_json::from_str(&format!("{{{settings}}}")).unwrap();
    for (name, value) in settings.as_object().unwrap() {
        config[name] = serde_json::json!({ "value": value });
    }
    let nix = Answers { config: print_script(&config.to_string()), ..Answers::default() }.install();
    let path = std::env::var_os("PATH").unwrap();
    for program in ["unshare", "mount", "rm", "setpriv"] {
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
        symlink(found.expect(program), nix.path("bin").join(program)).unwrap();
    }
    nix
}

#[test]
#[cfg(target_arch = "x86_64")]
#[ignore = "needs user namespaces: run `cargo xtask test`"]
fn each_verdict_is_that_of_a_real_kernel() {
    if !binfmt::has_private_tables() {
        return;
    }
    for (steps, settings, is_met, expected) in CASES {
        let folder = tempfile::tempdir().unwrap();
        let emulators = folder.path().join("emulators");
        binfmt::make_emulators(&emulators);
        let place = emulators.display().to_string();
        let nix = nix_with(&settings.replace("$E", &place));
        let steps = format!(
            "forbid=; {steps}\n[ -z \"$forbid\" ] || {{ echo 0 >/proc/sys/user/max_user_namespaces; \
             exec setpriv --bounding-set=-sys_admin \"$@\"; }}"
        );
        let wrapper = binfmt::wrapper(&place, &steps);
        let wrapper = wrapper.iter().map(String::as_str).collect::<Vec<_>>();
        let outcome = nix.xtask(&["--json", "doctor"]).wrapped_in(&wrapper).run();
        let found = &outcome.json()["requirements"][1];
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(&expected.replace("$E", &place)), "{steps} {settings}\n{message}");
        assert_eq!(found["met"], *is_met, "{steps} {settings}\n{message}");
        assert_eq!(found["hint"].is_null(), *is_met, "{steps} {settings}");
        if !is_met {
            for program in ["git", "ssh", "ssh-keygen", "deploy", "debugfs", "e2fsck", "e2image"] {
                nix.fake(program, "exit 99");
            }
            let setup = nix.xtask(&["setup", "--dry-run"]).wrapped_in(&wrapper).run();
            assert!(!setup.stdout.contains("nothing is missing"), "{steps} {settings}\n{}", setup.stderr);
        }
    }
}

mod as_root {
    use std::os::unix::fs::chown;

    use super::*;

    /// A machine whose nix-daemon belongs to another user, who trusts this user or not: the daemon has the settings
    /// that Nix prints without the files and the variables of this user.
    fn nix_with_daemon(trusted: &str) -> FakeNix {
        let own = print_script(&config_json(r#"["aarch64-linux"]"#, ""));
        let of_daemon = print_script(&config_json("[]", ""));
        let config = format!("if [ \"$NIX_USER_CONF_FILES\" = /dev/null ]; then {of_daemon}; else {own}; fi");
        let nix = Answers { config, ..Answers::default() }
            .install_with("*' store ping --json'", &print_script(&format!("{{\"trusted\":{trusted}}}")));
        let socket = nix.path("nix/daemon-socket/socket");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        fs::write(&socket, "").unwrap();
        // The rights of root over files of others are dropped in this suite.
        for path in [&nix.path("nix"), &socket] {
            chown(path, Some(65_534), Some(65_534)).unwrap();
        }
        nix
    }

    #[test]
    #[ignore = "needs root: run `cargo xtask test`"]
    fn the_own_settings_of_an_untrusted_user_do_not_count() {
        for (trusted, is_ignored) in
            [("0", true), ("false", true), ("1", false), ("true", false), ("null", false)]
        {
            let nix = nix_with_daemon(trusted);
            let doctor = nix.xtask(&["--json", "doctor"]).env("NIX_STATE_DIR", nix.path("nix"));
            // The suite itself runs without settings of the user.
            let outcome = doctor.env_remove("NIX_USER_CONF_FILES").run();
            let found = &outcome.json()["requirements"][1];
            let message = found["message"].as_str().unwrap();
            // Whether this machine runs such programs does not matter here.
            let is_of_daemon = message.contains("only your own settings list it in extra-platforms")
                || message.contains("there is no emulation and no remote builder");
            assert_eq!(is_of_daemon, is_ignored, "{trusted} {message}");
            if is_ignored {
                let hint = found["hint"].as_str().unwrap();
                assert!(hint.contains("add `extra-platforms = aarch64-linux` to "), "{hint}");
            }
        }
    }
}
