//! The file that `release --out` replaces.

use std::fs;

use crate::releases::fixture;

#[test]
fn a_release_replaces_only_a_release_or_an_empty_file() {
    let (fixture, file) = fixture();
    let made = |out: &str| fixture.sandbox.run(&["--flake", "github:o/f", "release", "stinky", "--out", out]);
    let flake = fixture.path("flake.nix");
    fs::write(&flake, "{ }").unwrap();
    made(&flake).assert_code(3).assert_stderr_contains("flake.nix is there already, and no release\nhint: ");
    made("/dev/null").assert_code(3).assert_stderr_contains("/dev/null is there already");
    assert_eq!(fs::read_to_string(&flake).unwrap(), "{ }");
    let empty = fixture.path("empty");
    fs::write(&empty, "").unwrap();
    for out in [&file, &empty] {
        let outcome = made(out);
        assert!(!outcome.stderr.contains("is there already"), "{}", outcome.stderr);
    }
}

#[test]
fn a_place_where_no_file_can_be_written_is_named() {
    let (fixture, _) = fixture();
    let made = |out: &str| fixture.sandbox.run(&["--flake", "github:o/f", "release", "stinky", "--out", out]);
    let missing = fixture.path("no folder");
    let expected =
        format!("cannot be written: there is no folder {missing}\nhint: `mkdir -p '{missing}'`, or ");
    made(&format!("{missing}/r.json")).assert_code(3).assert_stderr_contains(expected);
    let folder = fixture.path("");
    made(&folder).assert_code(3).assert_stderr_contains("is a folder, not the file to write\nhint: ");
}
