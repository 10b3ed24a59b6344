//! Errors of the inputs of a flake.

use super::hints::NO_ACCESS;
use super::*;
use crate::base::failure::hint;

#[test]
fn an_input_that_cannot_be_fetched_is_named() {
    let text = "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\nfatal: Could not read from remote repository.\n\n\
        Please make sure you have the correct access rights\nwarning: could not read HEAD ref\n\
        ssh: connect to host 127.0.0.1 port 1: Connection refused\r\nerror:\n       … while updating the lock file of flake 'path:/f'\n\n       \
        … while updating the flake input 'secrets'\n\n       \
        … while fetching the input 'git+ssh://git@host/secrets.git'\n\n       error: revspec 'master' not found";
    let error = evaluation_failed(text, &"F", None, &Programs::default());
    let expected = "nix failed on F: revspec 'master' not found\n  while fetching the input 'secrets', \
        'git+ssh://git@host/secrets.git'\n  | ssh: connect to host 127.0.0.1 port 1: Connection refused\n  \
        | fatal: Could not read from remote repository.";
    assert_eq!(error.to_string(), expected);
}

/// What a newcomer without a network sees: the server, the reason and the input, each once.
#[test]
fn an_archive_that_cannot_be_downloaded_is_named_once() {
    let text = |error: &str| {
        format!(
            "error:\n       … while evaluating the attribute 'x'\n         at /nix/store/a-source/flake.nix:27:16:\n\n       \
             … while fetching the input 'github:o/r/abc?narHash=sha256-x%3D'\n\n       error: {error}"
        )
    };
    let reason =
        "unable to download 'https://h/abc.tar.gz': Could not resolve hostname (6) Could not resolve host: h";
    for error in
        [reason.to_owned(), format!("Failed to open archive (Source threw exception: error: {reason})")]
    {
        let error = evaluation_failed(&text(&error), &"F", None, &Programs::default());
        let expected = "nix failed on F: unable to download 'https://h/abc.tar.gz': Could not resolve hostname\n  \
            while fetching the input 'github:o/r/abc'";
        assert_eq!((error.to_string().as_str(), hint(&error)), (expected, Some(NO_NETWORK)));
    }
    let lines = "unable to download 'https://h/x': HTTP error 404 (curl 22)\n\n       response body: no";
    let expected = "nix failed on F: unable to download 'https://h/x': HTTP error 404 (curl 22)\n\n       \
        response body: no";
    let error = evaluation_failed(&format!("error: {lines}"), &"F", None, &Programs::default());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_input_that_does_not_exist_has_its_own_hint() {
    let dir = tempfile::tempdir().unwrap();
    let fetching = |url: &str, error: &str| {
        format!(
            "error:\n       … while updating the flake input 'x'\n\n       … while fetching the input '{url}'\n\n       error: {error}"
        )
    };
    let archive =
        "Failed to open archive (Source threw exception: error: unable to download 'file:///gone.tgz': no)";
    let not_found = "unable to download 'https://host/x.tgz': HTTP error 404";
    for (text, expected) in [
        (fetching("path:/gone", "path '//gone' does not exist"), Some(NO_INPUT)),
        (fetching("git+file:/gone", "Cannot find Git revision"), Some(NO_INPUT)),
        (fetching("file:///gone.tgz", archive), Some(NO_INPUT)),
        ("error: path '//gone' does not exist".to_owned(), Some(NO_INPUT)),
        ("error: path '/nix/store/a-source/gone/flake.nix' does not exist".to_owned(), Some(NO_INPUT)),
        (fetching("https://host/x.tgz", not_found), Some(NO_ACCESS)),
        (fetching("github:o/r", "unable to download 'https://api.github.com/r': no host"), Some(NO_NETWORK)),
        (fetching("git+ssh://host/x", "Cannot find Git revision"), None),
        (format!("error: path '/{}' does not exist", dir.path().display()), Some(NO_FLAKE)),
    ] {
        let error = evaluation_failed(&text, &"F", Some(dir.path()), &Programs::default());
        assert_eq!(hint(&error), expected, "{text}");
    }
}

#[test]
fn a_flake_that_cannot_be_fetched_is_no_input() {
    let fetching = |url: &str, error: &str| {
        format!("error:\n       … while fetching the input '{url}'\n\n       error: {error}")
    };
    let (denied, offline) =
        ("reading directory //f/x: Permission denied", "unable to download 'https://a': no host");
    for (subject, folder, text, expected) in [
        ("/f", Some("/f"), fetching("path:/f", denied), None),
        ("/f%20g?dir=a", Some("/f g/a"), fetching("git+file:///f%20g?dir=a", denied), None),
        ("github:o/f", None, fetching("github:o/f", offline), Some(NO_NETWORK)),
        ("/f", Some("/f"), fetching("path:/other", denied), Some(NO_INPUT)),
    ] {
        let error = evaluation_failed(&text, &subject, folder.map(Path::new), &Programs::default());
        assert_eq!(hint(&error), expected, "{text}");
    }
}
