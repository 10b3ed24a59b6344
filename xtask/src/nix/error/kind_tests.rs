//! Errors of Nix that are not faults of the flake.

use super::*;
use crate::base::failure::kind;

/// Errors of Nix, with the kinds and hints that they have.
const KINDS: &[(&str, ExitKind, &str)] = &[
    ("input 'nonsense:foo' is unsupported", ExitKind::Usage, NO_FLAKE),
    ("path '/etc/passwd' is not a flake (because it's not a directory)", ExitKind::Usage, NO_FLAKE),
    ("unrecognised flag '--imput'\nTry 'nix --help' for more information.", ExitKind::Usage, WRONG_ARGUMENT),
    ("unexpected argument 'x#y'", ExitKind::Usage, WRONG_ARGUMENT),
    (
        "flag '--override-input' requires 2 argument(s), but only 1 were given",
        ExitKind::Usage,
        WRONG_ARGUMENT,
    ),
    (
        "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Permission denied",
        ExitKind::Permission,
        NOT_OF_DAEMON,
    ),
    ("opening lock file '/nix/var/nix/db/big-lock': Permission denied", ExitKind::Permission, NOT_OF_STORE),
    ("creating directory '/nix/var/nix/temproots': Permission denied", ExitKind::Permission, NOT_OF_STORE),
    ("opening file '/home/pi/flake.nix': Permission denied", ExitKind::Permission, NOT_READABLE),
];

#[test]
fn an_error_that_is_not_of_the_flake_has_the_kind_of_its_cause() {
    for (stderr, expected, remedy) in KINDS {
        let text = format!("error: {stderr}");
        let errors = [
            evaluation_failed(&text, &"F", None, &Programs::default()),
            build_failed("F#x", std::slice::from_ref(&text), &[], &[], &Programs::default()),
        ];
        for error in errors {
            assert_eq!((kind(&error), hint(&error)), (*expected, Some(*remedy)), "{stderr}");
        }
    }
    let of_builder = "builder for '/nix/store/a-x.drv' failed with exit code 1";
    let log = ["cp: '/nix/var/nix/db': Permission denied".to_owned()];
    let error = build_failed("F#x", &[of_builder.to_owned()], &[], &log, &Programs::default());
    assert_eq!((kind(&error), hint(&error)), (ExitKind::Other, None));
}

/// Nix names a branch there, and git the server.
#[test]
fn a_repository_on_a_server_that_is_out_of_reach_needs_the_network() {
    let text = "fatal: unable to access 'https://x.invalid/a/': Could not resolve host: x.invalid\n\
                error:\n  … while fetching the input 'git+https://x.invalid/a'\n\n  \
                error: resolving Git reference 'master': revspec 'master' not found";
    let error = evaluation_failed(text, &"git+https://x.invalid/a", None, &Programs::default());
    assert_eq!(hint(&error), Some(NO_NETWORK));
    assert!(needs_network(&error));
}
