//! A payload with files of every kind, and the assertion that a card has it.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::host_image::{debugfs, listing};
use crate::image::garbage;
use crate::support::Sandbox;

/// The path of the host key on a card.
pub const KEY: &str = "/persist/etc/ssh/ssh_host_ed25519_key";

/// Makes a folder for `--files` with entries of every kind, and returns its path.
pub fn make_payload_files(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path("home/files");
    std::fs::create_dir_all(dir.join("etc/wpa \"x\"")).unwrap();
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    for (name, text, mode) in [
        ("etc/old.conf", "another one\n", 0o604),
        ("etc/wpa \"x\"/ho me.psk", "secret", 0o440),
        ("age.key", "", 0o400),
        ("<12>", "odd", 0o6755),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
        std::fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }
    std::fs::write(dir.join("large"), garbage(300_000)).unwrap();
    std::fs::set_permissions(dir.join("empty"), Permissions::from_mode(0o2700)).unwrap();
    std::os::unix::fs::chown(dir.join("age.key"), Some(70_000), Some(998)).unwrap();
    symlink("age.key", dir.join("link")).unwrap();
    symlink(format!("../{}", "far/".repeat(30)), dir.join("long")).unwrap();
    dir
}

/// Asserts that the card has `key` and the entries of [`make_payload_files`]. One file is copied
/// to `out`.
#[track_caller]
pub fn assert_payload(device: &str, key: &str, out: &Path) {
    assert_eq!(debugfs(device, &format!("cat {KEY}")), key);
    let size = key.len();
    assert_eq!(
        listing(device, "/persist/etc/ssh"),
        [format!("ssh_host_ed25519_key 100600 0:0 {size}"), "ssh_host_ed25519_key.pub 100644 0:0 84".into()]
    );
    let names = listing(device, "/persist");
    for line in [
        "<12> 106755 0:0 3",
        "age.key 100400 70000:998 0",
        "large 100644 0:0 300000",
        "link 120777 0:0 7",
        "long 120777 0:0 123",
    ] {
        assert!(names.contains(&line.to_owned()), "{line}: {names:?}");
    }
    assert!(names.iter().any(|line| line.starts_with("empty 042700 0:0")), "{names:?}");
    assert_eq!(debugfs(device, "cat \"/persist/etc/wpa \"\"x\"\"/ho me.psk\""), "secret");
    assert_eq!(debugfs(device, "cat /persist/etc/old.conf"), "another one\n");
    debugfs(device, &format!("dump /persist/large {}", out.display()));
    assert!(std::fs::read(out).unwrap() == garbage(300_000));
}
