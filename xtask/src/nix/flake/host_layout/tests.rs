//! Layouts as `layout.nix` evaluates them.

use serde_json::{Value, json};

use super::*;
use crate::base::failure::{ExitKind, kind};

const SD: &str = "/dev/disk/by-label/NIXOS_SD";
const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

fn mount(at: &str, device: &str, file_system: &str) -> Value {
    json!({ "at": at, "device": device, "type": file_system })
}

fn found(keys: &[&str], mounts: &[Value], moved: &[[&str; 2]]) -> Result<Option<KeyPlace>> {
    let moved = moved.iter().map(|[path, source]| json!({ "path": path, "source": source }));
    let layout = json!({ "hostKeys": keys, "mounts": mounts, "moved": moved.collect::<Vec<_>>() });
    serde_json::from_value::<HostLayout>(layout).unwrap().key_place()
}

/// The place in a few words: device, mount point, folder and key.
fn words(place: &KeyPlace) -> String {
    let KeyPlace { device, mounted_at, folder, key, mark } = place;
    format!("{device:?} at {mounted_at}: {folder:?} {key} {}", mark.unwrap_or("-"))
}

#[test]
fn a_key_is_where_the_configuration_reads_it() {
    let stock = [mount("/", SD, "ext4"), mount("/boot/firmware", "/dev/disk/by-label/FIRMWARE", "vfat")];
    let memory = [mount("/", "none", "tmpfs"), mount("/nix", SD, "ext4")];
    let third = [mount("/", "/dev/mmcblk0p3", "ext4")];
    let two = [
        mount("/", "none", "tmpfs"),
        mount("/nix", SD, "ext4"),
        mount("/persist", "/dev/disk/by-uuid/AB-1", "auto"),
    ];
    let named = [mount("/", "/dev/disk/by-label/my\\x20root\\x2fx", "ext4")];
    let sd = "Label(\"NIXOS_SD\")";
    for (key, mounts, moved, expected) in [
        (KEY, &stock[..], &[][..], format!("{sd} at /: Some(\"\") etc/ssh/ssh_host_ed25519_key nix")),
        ("/persist/etc/ssh/k", &stock, &[], format!("{sd} at /: Some(\"/persist\") etc/ssh/k nix")),
        ("/var/keys//host", &stock, &[], format!("{sd} at /: Some(\"\") var/keys/host nix")),
        ("/nix/persist/etc/ssh/k", &memory, &[], format!("{sd} at /nix: Some(\"/persist\") etc/ssh/k store")),
        ("/nix/keys/host", &memory, &[], format!("{sd} at /nix: None keys/host store")),
        // impermanence: a file, a folder, and a folder of which a part is kept elsewhere.
        (
            KEY,
            &memory,
            &[[KEY, "/nix/p/etc/ssh/ssh_host_ed25519_key"]],
            format!("{sd} at /nix: Some(\"/p\") etc/ssh/ssh_host_ed25519_key store"),
        ),
        (
            KEY,
            &memory,
            &[["/etc/ssh", "/nix/persist/etc/ssh"]],
            format!("{sd} at /nix: Some(\"/persist\") etc/ssh/ssh_host_ed25519_key store"),
        ),
        (
            "/etc/ssh/k",
            &memory,
            &[["/etc", "/nix/a/etc"], ["/etc/ssh", "/nix/b"]],
            format!("{sd} at /nix: None b/k store"),
        ),
        (
            "/etc/ssh/k",
            &memory,
            &[["/etc", "/state/etc"], ["/state", "/nix/s"]],
            format!("{sd} at /nix: Some(\"/s\") etc/ssh/k store"),
        ),
        ("/persist/etc/ssh/k", &two, &[], "Uuid(\"ab-1\") at /persist: Some(\"\") etc/ssh/k -".to_owned()),
        (
            "/persist/etc/ssh/k",
            &two,
            &[["/", "/nix/x"]],
            "Uuid(\"ab-1\") at /persist: Some(\"\") etc/ssh/k -".to_owned(),
        ),
        (
            KEY,
            &third,
            &[["/etc/sshd", "/x"]],
            "Number(3) at /: Some(\"\") etc/ssh/ssh_host_ed25519_key nix".to_owned(),
        ),
        (
            KEY,
            &named,
            &[],
            "Label(\"my root/x\") at /: Some(\"\") etc/ssh/ssh_host_ed25519_key nix".to_owned(),
        ),
    ] {
        assert_eq!(words(&found(&[key], mounts, moved).unwrap().unwrap()), expected, "{key} {moved:?}");
    }
}

#[test]
fn a_key_on_no_partition_of_a_card_is_refused_with_the_reason() {
    let root = |device, file_system| [mount("/", device, file_system)];
    for (keys, mounts, moved, expected) in [
        (&[][..], &root(SD, "ext4")[..], &[][..], "its services.openssh.hostKeys has no ed25519 key"),
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
            "its configuration mounts no file system for the host key",
        ),
        (&["/a/../b"], &root(SD, "ext4"), &[], "which is no plain path"),
        (&["etc/key"], &root(SD, "ext4"), &[], "which is no plain path"),
        (&["/a\nb"], &root(SD, "ext4"), &[], "at \"/a\\nb\", which is no plain path"),
        (&["/a/k"], &root(SD, "ext4"), &[["/a", "/b"], ["/b", "/a"]], "moves /a/k in a circle"),
    ] {
        let error = found(keys, mounts, moved).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(kind(&error), ExitKind::Refused);
    }
}

#[test]
fn without_keys_or_file_systems_the_configuration_says_nothing() {
    assert_eq!(found(&[KEY], &[], &[]).unwrap(), None);
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
        Some(words(&place))
    });
}
