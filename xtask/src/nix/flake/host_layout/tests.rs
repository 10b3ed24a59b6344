//! The place of the host key in layouts such as `layout.nix` evaluates.

use serde_json::{Value, json};

use super::*;
use crate::base::failure::{ExitKind, kind};

const SD: &str = "/dev/disk/by-label/NIXOS_SD";
const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

fn mount(at: &str, device: &str, file_system: &str) -> Value {
    json!({ "at": at, "device": device, "type": file_system })
}

/// The place of the host key in a layout of `keys` and `mounts`; `moved` are pairs of the path and the source.
fn find_place(keys: &[&str], mounts: &[Value], moved: &[[&str; 2]]) -> Result<Option<KeyPlace>> {
    let moved = moved.iter().map(|[path, source]| json!({ "path": path, "source": source }));
    let layout = json!({ "hostKeys": keys, "mounts": mounts, "moved": moved.collect::<Vec<_>>() });
    serde_json::from_value::<HostLayout>(layout).unwrap().key_place()
}

/// The place in one line: device, mount point, folder, key, and required folder.
fn describe(place: &KeyPlace) -> String {
    let KeyPlace { device, mounted_at, folder, key, required_folder } = place;
    format!("{device:?} at {mounted_at}: {folder:?} {key} {}", required_folder.unwrap_or("-"))
}

const KEY_FILE: &str = "etc/ssh/ssh_host_ed25519_key";

/// The mounts of a host whose `/` is in memory.
fn memory_mounts() -> [Value; 2] {
    [mount("/", "none", "tmpfs"), mount("/nix", SD, "ext4")]
}

#[track_caller]
fn assert_place(key: &str, mounts: &[Value], moved: &[[&str; 2]], expected: &str) {
    assert_eq!(describe(&find_place(&[key], mounts, moved).unwrap().unwrap()), expected, "{key} {moved:?}");
}

#[test]
fn a_key_is_where_the_configuration_reads_it() {
    let stock = [mount("/", SD, "ext4"), mount("/boot/firmware", "/dev/disk/by-label/FIRMWARE", "vfat")];
    for (key, expected) in [
        (KEY, &*format!("Some(\"\") {KEY_FILE}")),
        ("/persist/etc/ssh/k", "Some(\"/persist\") etc/ssh/k"),
        ("/var/keys//host", "Some(\"\") var/keys/host"),
    ] {
        assert_place(key, &stock, &[], &format!("Label(\"NIXOS_SD\") at /: {expected} nix"));
    }
    for (key, expected) in
        [("/nix/persist/etc/ssh/k", "Some(\"/persist\") etc/ssh/k"), ("/nix/keys/host", "None keys/host")]
    {
        assert_place(key, &memory_mounts(), &[], &format!("Label(\"NIXOS_SD\") at /nix: {expected} store"));
    }
}

/// The module impermanence can move a file, a folder, a folder in a moved folder, and the target of a move.
#[test]
fn a_key_that_is_moved_is_found_at_the_source() {
    let kept = format!("/nix/p/{KEY_FILE}");
    for (key, moved, expected) in [
        (KEY, &[[KEY, &*kept]][..], &*format!("Some(\"/p\") {KEY_FILE}")),
        (KEY, &[["/etc/ssh", "/nix/persist/etc/ssh"]], &*format!("Some(\"/persist\") {KEY_FILE}")),
        ("/etc/ssh/k", &[["/etc", "/nix/a/etc"], ["/etc/ssh", "/nix/b"]], "None b/k"),
        ("/etc/ssh/k", &[["/etc", "/state/etc"], ["/state", "/nix/s"]], "Some(\"/s\") etc/ssh/k"),
    ] {
        assert_place(key, &memory_mounts(), moved, &format!("Label(\"NIXOS_SD\") at /nix: {expected} store"));
    }
}

#[test]
fn the_device_of_a_file_system_names_its_partition() {
    let third = [mount("/", "/dev/mmcblk0p3", "ext4")];
    let named = [mount("/", "/dev/disk/by-label/my\\x20root\\x2fx", "ext4")];
    let persist = mount("/persist", "/dev/disk/by-uuid/AB-1", "auto");
    let with_persist = [&memory_mounts()[..], &[persist]].concat();
    let in_persist = "Uuid(\"ab-1\") at /persist: Some(\"\") etc/ssh/k -";
    for (key, mounts, moved, expected) in [
        ("/persist/etc/ssh/k", &with_persist[..], &[][..], in_persist),
        ("/persist/etc/ssh/k", &with_persist, &[["/", "/nix/x"]], in_persist),
        (KEY, &third, &[["/etc/sshd", "/x"]], &format!("Number(3) at /: Some(\"\") {KEY_FILE} nix")),
        (KEY, &named, &[], &format!("Label(\"my root/x\") at /: Some(\"\") {KEY_FILE} nix")),
    ] {
        assert_place(key, mounts, moved, expected);
    }
}

#[test]
fn a_key_on_no_partition_of_a_card_is_refused_with_the_reason() {
    let root = |device, file_system| [mount("/", device, file_system)];
    for (keys, mounts, moved, expected) in [
        (&[][..], &root(SD, "ext4")[..], &[][..], "services.openssh.hostKeys of the host has no ed25519 key"),
        (
            &[KEY],
            &root("none", "tmpfs"),
            &[],
            "the host keeps its key /etc/ssh/ssh_host_ed25519_key in memory (tmpfs at /)",
        ),
        (
            &[KEY],
            &root(SD, "btrfs"),
            &[],
            "the host key /etc/ssh/ssh_host_ed25519_key is on btrfs (at /), and only ext4 is written",
        ),
        (
            &[KEY],
            &root("/dev/sda1", "ext4"),
            &[],
            "is on \"/dev/sda1\" (at /), which names no partition by its label, UUID or number",
        ),
        (
            &[KEY],
            &[mount("/nix", SD, "ext4")],
            &[],
            "the configuration of the host mounts no file system for the host key",
        ),
        (&["/a/../b"], &root(SD, "ext4"), &[], "which is no plain path"),
        (&["etc/key"], &root(SD, "ext4"), &[], "which is no plain path"),
        (&["/a\nb"], &root(SD, "ext4"), &[], "at \"/a\\nb\", which is no plain path"),
        (&["/a/k"], &root(SD, "ext4"), &[["/a", "/b"], ["/b", "/a"]], "moves /a/k in a circle"),
    ] {
        let error = find_place(keys, mounts, moved).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(kind(&error), ExitKind::Refused);
    }
}

#[test]
fn without_keys_or_file_systems_the_place_is_unknown() {
    assert_eq!(find_place(&[KEY], &[], &[]).unwrap(), None);
    for layout in [json!({}), json!({ "hostKeys": null, "mounts": [mount("/", SD, "ext4")] })] {
        assert_eq!(serde_json::from_value::<HostLayout>(layout).unwrap().key_place().unwrap(), None);
    }
}

#[test]
fn fuzz() {
    let layout = json!({
        "hostKeys": ["/etc/ssh/k"], "mounts": [mount("/", "none", "tmpfs"), mount("/nix", SD, "ext4")],
        "moved": [{ "path": "/etc", "source": "/nix/my\\x20persist/etc" }],
    });
    crate::base::fuzz::check(&[layout.to_string().as_bytes()], |bytes| {
        let layout = serde_json::from_slice::<HostLayout>(bytes).ok()?;
        let place = layout.key_place().ok()??;
        assert!(!place.key.starts_with('/') && !place.key.split('/').any(|part| part == ".."));
        Some(describe(&place))
    });
}
