//! Errors of Nix with their messages and hints.

use super::hints::{CANNOT_RUN, NO_ACCESS};
use super::*;
use crate::base::failure::hint;

#[test]
fn an_evaluation_error_has_a_summary_and_a_hint() {
    for (stderr, message, expected) in [
        (
            "\u{1b}[31;1merror:\u{1b}[0m path '/x' is not part of a flake (neither it nor its parents)",
            "path '/x' is not part of a flake (neither it nor its parents)",
            Some(NO_FLAKE),
        ),
        (
            "warning: w\nerror:\n  … while a\n  at /far.nix:1:1:\n  … b\n  at /near.nix:2:2:\n  error: boom",
            "boom\n  at /near.nix:2:2",
            None,
        ),
        (
            "error: cannot find flake 'flake:x' in the flake registries",
            "cannot find flake 'flake:x' in the flake registries",
            Some(NO_FLAKE),
        ),
        (
            "error: opening file '/home/pi/flake/flake.nix': Permission denied",
            "opening file '/home/pi/flake/flake.nix': Permission denied",
            Some(NOT_READABLE),
        ),
        ("error: cannot coerce a thing", "cannot coerce a thing", None),
        ("plain", "plain", None),
    ] {
        let error = evaluation_failed(stderr, &"F", None, &Programs::default());
        assert_eq!(error.to_string(), format!("nix failed on F: {message}"));
        assert_eq!(hint(&error), expected, "{stderr}");
    }
}

#[test]
fn a_failed_build_names_the_cause_and_shows_the_log() {
    let messages = [
        "error: builder for '/nix/store/a-dep.drv' failed with exit code 3",
        "error: 1 dependencies of derivation '/nix/store/b-top.drv' failed to build",
    ];
    let error = build_failed(
        "F#x",
        &messages.map(str::to_owned),
        &[],
        &["one".into(), "two".into()],
        &Programs::default(),
    );
    let expected = "nix failed on F#x: builder for '/nix/store/a-dep.drv' failed with exit code 3
  last lines of the builder's log:
  | one
  | two
  full log: `nix-store --read-log /nix/store/a-dep.drv`";
    assert_eq!(error.to_string(), expected);
    let error =
        build_failed("F", &["error: x".into()], &[], &["p: Exec format error".into()], &Programs::default());
    assert!(error.to_string().ends_with("| p: Exec format error"), "{error}");
    assert_eq!(hint(&error), None, "a line of a builder, not of Nix");
    let executing = "error: executing '/nix/store/a-bash/bin/bash': Exec format error";
    let error = build_failed("F", &["error: x".into()], &[], &[executing.into()], &Programs::default());
    assert_eq!(hint(&error), Some(CANNOT_RUN));
    let error = build_failed(
        "F",
        &["error: x".into()],
        &[],
        &["cat: '/x': Permission denied".into()],
        &Programs::default(),
    );
    assert_eq!(hint(&error), None);
    assert_eq!(
        build_failed("F", &[], &[], &[], &Programs::default()).to_string(),
        "nix failed on F: nix printed no error"
    );
}

#[test]
fn fuzz() {
    let trace = "warning: w\n\u{1b}[31;1merror:\u{1b}[0m\n  … while a\n  at /far.nix:1:1:\n  error: builder for '/nix/store/a.drv' failed";
    crate::base::fuzz::check_text(
        &[trace, "error: path '/x' is not part of a flake (neither it nor its parents)"],
        |text| {
            let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
            (
                evaluation_failed(text, &"F", None, &Programs::default()).to_string(),
                build_failed("F", &lines, &lines, &lines, &Programs::default()).to_string(),
            )
        },
    );
}

#[test]
fn errors_of_builders_and_throws_have_no_hint() {
    let log = ["mkfs: No space left on device", "curl: Could not resolve host", "Exec format error"];
    let log = log.map(str::to_owned);
    let quoted = "error: builder for '/nix/store/a-image.drv' failed with exit code 1;\n       last 2 log lines:\n       \
                  > No space left on device\n       > unable to download\n";
    let error = build_failed("F", &[quoted.to_owned()], &[], &log, &Programs::default());
    assert_eq!(hint(&error), None);
    let noted = format!("{quoted}note: build failure may have been caused by lack of free disk space");
    assert!(
        hint(&build_failed("F", &[noted], &[], &log, &Programs::default()))
            .unwrap()
            .starts_with("free space")
    );
    for thrown in [
        "error:\n  … while calling the 'throw' builtin\n  at /f.nix:1:1:\n\n  error: No space left on device",
        "error:\n  … while calling the 'abort' builtin\n  at /f.nix:1:1:\n\n  error: evaluation aborted with the following \
         error message: 'cannot connect to daemon'",
        "warning: unable to download 'https://h/x'\nerror: cannot coerce a thing",
    ] {
        assert_eq!(hint(&evaluation_failed(thrown, &"F", None, &Programs::default())), None, "{thrown}");
    }
    let real = "error:\n  … while calling the 'fetchurl' builtin\n  error: unable to download 'https://h/x'";
    assert_eq!(hint(&evaluation_failed(real, &"F", None, &Programs::default())), Some(NO_NETWORK));
}

#[test]
fn only_files_of_the_flake_can_be_added_to_git() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("nix");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(dir.path().join("secret.txt"), "").unwrap();
    std::fs::write(folder.join("x.nix"), "").unwrap();
    for (error, expected) in [
        ("opening file '/nix/store/a-source/secret.txt': No such file or directory", true),
        ("path '/nix/store/a-source/nix/x.nix' does not exist", true),
        ("reading directory /nix/store/a-source/nix: No such file or directory", true),
        ("path '/nix/store/b-source/lib/missing.nix' does not exist", false),
        ("opening file '/nix/store/b-source/modules/typo.nix': No such file or directory", false),
    ] {
        let found = evaluation_failed(&format!("error: {error}"), &"F", Some(&folder), &Programs::default());
        assert_eq!(hint(&found), expected.then_some(UNTRACKED), "{error}");
        assert_eq!(
            hint(&evaluation_failed(&format!("error: {error}"), &"F", None, &Programs::default())),
            Some(UNTRACKED)
        );
    }
}

#[test]
fn the_full_disk_is_named() {
    let space = |folder: &str, bytes| own_words::FreeSpace { folder: folder.to_owned(), bytes };
    let spaces = [space("/nix/store", 1 << 40), space("/tmp", 4096), space("/home", 8 << 20)];
    assert_eq!(own_words::full_folder(&spaces), Some("/tmp"));
    assert_eq!(own_words::full_folder(&spaces[..1]), None);
}

#[test]
fn the_temporary_folder_is_measured() {
    let temporary = std::env::temp_dir().display().to_string();
    assert!(own_words::free_space().iter().any(|space| space.folder == temporary));
}

#[test]
fn passwords_in_addresses_are_hidden() {
    for (text, expected) in [
        ("'git+https://oauth2:glpat-x@gitlab.com/a.git'", "'git+https://…@gitlab.com/a.git'"),
        ("https://TOKEN@host/a https://host/a@b", "https://…@host/a https://host/a@b"),
        (
            "git+ssh://git@host:22/a ssh://pi:secret@[fe80::1]/x",
            "git+ssh://git@host:22/a ssh://pi…@[fe80::1]/x",
        ),
        ("https://a:b@c@host", "https://…@host"),
        ("file:///a@b path:/a@b ://", "file:///a@b path:/a@b ://"),
    ] {
        assert_eq!(without_passwords(text), expected);
    }
}

#[test]
fn a_refused_download_has_another_hint_than_a_missing_network() {
    for (error, expected) in [
        ("unable to download 'https://api.github.com/repos/a/b': HTTP error 404", NO_ACCESS),
        ("unable to download 'https://api.github.com/repos/a/b': HTTP error 403", NO_ACCESS),
        ("unable to download 'https://host/x': Could not resolve host: host", NO_NETWORK),
        ("unable to download 'https://host/x': HTTP error 502", NO_NETWORK),
    ] {
        assert_eq!(
            hint(&evaluation_failed(&format!("error: {error}"), &"F", None, &Programs::default())),
            Some(expected),
            "{error}"
        );
    }
}

/// Nix 2.26 prints the position below the messages of its language, and beside the messages of builtins.
#[test]
fn errors_of_the_language_have_their_position() {
    let excerpt = "\n            1| { a = {}.missing; }\n             |       ^\n            2|";
    for (stderr, expected) in [
        (
            format!("error: attribute 'missing' missing\n       at /nix/store/a-source/flake.nix:1:7:{excerpt}"),
            "nix failed on F: attribute 'missing' missing\n  at /nix/store/a-source/flake.nix:1:7",
        ),
        (
            format!(
                "error:\n       … while calling anonymous lambda\n         at «string»:1:1:\n\n       error: cannot add a \
                 string to an integer\n       at /nix/store/a-source/b.nix:3:4:{excerpt}"
            ),
            "nix failed on F: cannot add a string to an integer\n  at /nix/store/a-source/b.nix:3:4",
        ),
        (
            "error:\n       … while calling the 'throw' builtin\n         at /nix/store/a-source/b.nix:1:2:\n\n       \
             error:\n       Failed assertions:\n       - one"
                .to_owned(),
            "nix failed on F: Failed assertions:\n       - one\n  at /nix/store/a-source/b.nix:1:2",
        ),
        (
            "error: meet me\n       at noon".to_owned(),
            "nix failed on F: meet me\n       at noon",
        ),
    ] {
        assert_eq!(evaluation_failed(&stderr, &"F", None, &Programs::default()).to_string(), expected);
    }
}

#[test]
fn faults_of_flakes_are_told_from_those_of_this_machine() {
    for (error, expected) in [
        ("attribute 'missing' missing", true),
        ("infinite recursion encountered", true),
        ("evaluation aborted with the following error message: 'no'", true),
        ("unable to download 'https://h/x': HTTP error 502", false),
        (
            "cannot build '/nix/store/a.drv' during evaluation because the option 'allow-import-from-derivation' is disabled",
            false,
        ),
        ("writing to file: No space left on device", false),
    ] {
        let failed = evaluation_failed(&format!("error: {error}"), &"F", None, &Programs::default());
        assert_eq!((is_evaluation_failure(&failed), is_fault_of_flake(&failed)), (true, expected), "{error}");
    }
    assert!(!is_evaluation_failure(&anyhow::anyhow!("stopped: nix failed on F")));
}

#[test]
fn a_missing_system_feature_is_named() {
    for (error, missing) in [
        (
            "a 'x86_64-linux' with features {kvm, nixos-test} is required to build '/nix/store/a.drv', but I am a \
             'x86_64-linux' with features {benchmark, nixos-test}",
            Some("kvm"),
        ),
        (
            "Cannot build '/nix/store/a.drv'.\nReason: required system or feature not available\n\
             Required system: 'aarch64-linux' with features {big-parallel, gccarch-armv8-a}\n\
             Current system: 'x86_64-linux' with features {benchmark}",
            Some("big-parallel gccarch-armv8-a"),
        ),
        (
            "a 'aarch64-linux' with features {} is required to build '/nix/store/a.drv', but I am a 'x86_64-linux' \
             with features {kvm}",
            None,
        ),
    ] {
        let error = evaluation_failed(&format!("error: {error}"), &"F", None, &Programs::default());
        let hint = hint(&error).unwrap();
        match missing {
            Some(missing) => assert!(hint.contains(&format!("this machine lacks: {missing};")), "{hint}"),
            None => assert_eq!(hint, CANNOT_BUILD),
        }
    }
}
