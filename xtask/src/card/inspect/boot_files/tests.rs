//! The boot files of good and incomplete file systems.

use super::*;

#[test]
fn labels() {
    let mut head = vec![0; 2048];
    assert_eq!(label(&head), None);
    head[71..90].copy_from_slice(b"FIRMWARE   FAT32   ");
    assert_eq!(label(&head), Some(("FAT32", "FIRMWARE".into())));
    head[1080..1082].copy_from_slice(&[0x53, 0xef]);
    head[1144..1152].copy_from_slice(b"NIXOS_SD");
    assert_eq!(label(&head), Some(("ext4", "NIXOS_SD".into())));
    assert_eq!(label(b"short"), None);
}

/// What U-Boot would start on a file system with a menu of these `lines` and with `change` in its files.
fn started(lines: &str, change: impl Fn(&std::path::Path)) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in [
        (
            "boot/extlinux/extlinux.conf",
            &*format!("LABEL a\nLINUX ../k\nINITRD ../i\nAPPEND init=/nix/store/s/init\n{lines}"),
        ),
        ("boot/k", "kernel"),
        ("boot/i", "initrd"),
        ("store/s/init", "init"),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    change(dir.path());
    let bytes = super::super::ext4::tests::made(&["-d", dir.path().to_str().unwrap()], 8);
    let disk = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, &bytes, 0).unwrap();
    let root = Ext4::open(&disk, 0, bytes.len() as u64, Budget::unattended()).unwrap();
    boot(&root).map(|(boot, _)| boot.kernel).map_err(|error| format!("{error:#}"))
}

#[test]
fn nothing_starts_from_a_folder_or_an_empty_file() {
    assert_eq!(started("", |_| ()), Ok("/boot/k".to_owned()));
    for (lines, expected) in [
        ("LINUX ../../store", "looking for /boot/extlinux/../../store: it is no file"),
        ("FDT ../../store", "looking for /boot/extlinux/../../store: it is no file"),
        ("APPEND init=/nix/store/s", "looking for /nix/store/s: it is no file"),
        ("LINUX ../absent", "looking for /boot/extlinux/../absent: file not found"),
        ("FDT ../absent", "looking for /boot/extlinux/../absent: file not found"),
        (&format!("LINUX {}", "x/".repeat(3000)), "extlinux.conf names a file with a path of 6000 bytes"),
        (
            &format!("APPEND init={}", "x/".repeat(3000)),
            "extlinux.conf names an init with a path of 6000 bytes",
        ),
    ] {
        let error = started(lines, |_| ()).unwrap_err();
        assert!(error.contains(expected) && error.len() < 200, "{error}");
    }
    for file in ["boot/k", "boot/i", "store/s/init", "boot/extlinux/extlinux.conf"] {
        let error = started("", |dir| std::fs::write(dir.join(file), "").unwrap()).unwrap_err();
        assert!(error.ends_with(": it is empty"), "{error}");
        let pipe = |dir: &std::path::Path| {
            std::fs::remove_file(dir.join(file)).unwrap();
            rustix::fs::mkfifoat(rustix::fs::CWD, dir.join(file), 0o600.into()).unwrap();
        };
        let error = started("", pipe).unwrap_err();
        assert!(error.ends_with(": it is no file"), "{error}");
    }
    let link = |dir: &std::path::Path| {
        std::fs::remove_file(dir.join("store/s/init")).unwrap();
        std::os::unix::fs::symlink("/nix/store/x/init", dir.join("store/s/init")).unwrap();
    };
    assert_eq!(started("", link), Ok("/boot/k".to_owned()));
}
