//! The files of a trial that U-Boot reads, the edits of the boot menu, and the waiting for checks, without a guest.

use std::fs;
use std::path::{Path, PathBuf};

use crate::guest::card::command;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial")
}

/// The stdout of `sh ARGS` in the folder of the scripts.
#[track_caller]
fn sh(args: &[&str]) -> Vec<u8> {
    let output = command("sh").args(args).current_dir(scripts()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn the_script_is_an_image_that_uboot_runs() {
    let script = fs::read(scripts().join("boot.cmd")).unwrap();
    let image = sh(&["boot-script.sh", "boot.cmd"]);
    let number = |at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap());
    // include/image.h of U-Boot: magic, CRC of the header, time, size, load, entry, CRC of the data, then one byte each
    // for Linux, arm64, script, and no compression.
    let length = u32::try_from(script.len()).unwrap();
    assert_eq!([number(0), number(8), number(12)], [0x2705_1956, 0, length + 8]);
    assert_eq!(image[28..32], [5, 22, 6, 0]);
    assert_eq!(number(24), crc32(&image[64..]));
    let mut header = image[..64].to_vec();
    header[4..8].fill(0);
    assert_eq!(number(4), crc32(&header));
    assert_eq!([number(64), number(68)], [length, 0]);
    assert_eq!(image[72..], script);
    assert_eq!(image, sh(&["boot-script.sh", "boot.cmd"]), "the same bytes each time");
}

#[test]
fn the_flag_is_an_environment_of_uboot() {
    for label in ["nixos-trial", "x", &"y".repeat(400)] {
        let flag = sh(&["trial-flag.sh", label]);
        assert_eq!(flag.len(), 512);
        assert_eq!(u32::from_le_bytes(flag[..4].try_into().unwrap()), crc32(&flag[4..]));
        let (text, rest) = flag[4..].split_at("trial_label=".len() + label.len());
        assert_eq!(text, format!("trial_label={label}").as_bytes());
        assert!(rest.iter().all(|&byte| byte == 0) && rest.len() >= 2);
    }
}

const MENU: &str = "\
# Generated
DEFAULT nixos-default

TIMEOUT 50
MENU TITLE ---

LABEL nixos-default
  MENU LABEL NixOS - Default
  LINUX ../nixos/a-Image
  INITRD ../nixos/a-initrd
  APPEND init=/nix/store/a-system/init console=ttyS0 panic=10
  FDTDIR ../nixos/a-dtbs

LABEL nixos-2-default
  MENU LABEL NixOS - Configuration 2
  LINUX ../nixos/b-Image
  INITRD ../nixos/b-initrd
  APPEND quiet init=/nix/store/b-system/init
";

/// The stdout of `call` with the functions of menu.sh, for a menu that is also on stdin.
#[track_caller]
fn menu(text: &str, call: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("extlinux.conf");
    fs::write(&file, text).unwrap();
    let script = format!("set -eu; menu='{}'; . ./menu.sh; exec <\"$menu\"; {call}", file.display());
    String::from_utf8(sh(&["-c", &script])).unwrap()
}

#[test]
fn what_a_menu_starts() {
    for (call, expected) in [
        ("default_label", "nixos-default\n"),
        ("system_of nixos-default", "/nix/store/a-system\n"),
        ("system_of nixos-2-default", "/nix/store/b-system\n"),
        ("system_of nixos-3-default", ""),
        ("system_of nixos", ""),
        (
            "body_of nixos-2-default \"$menu\"",
            "  LINUX ../nixos/b-Image\n  INITRD ../nixos/b-initrd\n  APPEND quiet init=/nix/store/b-system/init\n",
        ),
    ] {
        assert_eq!(menu(MENU, call), expected, "{call}");
    }
    for text in ["", "DEFAULT\n", "LABEL x\n  APPEND init=/a/b\n", "LABEL x\n  LINUX y\n"] {
        assert_eq!(menu(text, "system_of x"), "", "{text:?}");
    }
}

#[test]
fn an_entry_comes_and_goes() {
    let body = "$(body_of nixos-2-default \"$menu\")";
    let added = menu(MENU, &format!("add_entry nixos-trial 'NixOS - On trial' \"{body}\""));
    let entry = "\nLABEL nixos-trial\n  MENU LABEL NixOS - On trial\n  LINUX ../nixos/b-Image\n  \
                 INITRD ../nixos/b-initrd\n  APPEND quiet init=/nix/store/b-system/init\n";
    assert_eq!(added, format!("{MENU}{entry}"));
    // A second time it replaces the first.
    assert_eq!(menu(&added, &format!("add_entry nixos-trial 'NixOS - On trial' \"{body}\"")), added);
    assert_eq!(menu(&added, "without_entry nixos-trial"), MENU);
    assert_eq!(menu(MENU, "without_entry nixos-trial"), MENU);
    let first = MENU.split_once("\nLABEL nixos-default").unwrap().0;
    let second = MENU.split_once("\nLABEL nixos-2-default").unwrap().1;
    assert_eq!(menu(MENU, "without_entry nixos-default"), format!("{first}\nLABEL nixos-2-default{second}"));
}

#[test]
fn an_entry_gets_the_body_of_another() {
    let blessed = menu(MENU, "with_body nixos-default \"$(body_of nixos-2-default \"$menu\")\"");
    let expected = "LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/b-Image\n  \
                    INITRD ../nixos/b-initrd\n  APPEND quiet init=/nix/store/b-system/init\n\nLABEL nixos-2-default";
    assert!(blessed.contains(expected), "{blessed}");
    assert_eq!(menu(&blessed, "system_of \"$(default_label)\""), "/nix/store/b-system\n");
    assert_eq!(blessed.matches("LINUX").count(), 2);
}

/// Jobs that wait do not count: they wait for a running one.
#[test]
fn a_boot_is_over_when_only_jobs_of_the_trial_run() {
    for (jobs, uptime, expected) in [
        ("", 10, false),
        ("12 boot-trial-health.service start running\n13 boot-complete.target start waiting\n", 10, false),
        ("12 boot-trial-health.service start running\n14 octoprint.service start running\n", 10, true),
        ("14 octoprint.service start running\n", 300, false),
        ("No jobs running.\n", 10, false),
    ] {
        let script = format!(
            "within=600; uptime_in_seconds() {{ echo {uptime}; }}; systemctl() {{ printf '{jobs}'; }}; . ./wait.sh; \
             if is_booting; then echo true; else echo false; fi"
        );
        assert_eq!(sh(&["-c", &script]), format!("{expected}\n").as_bytes(), "{jobs}");
    }
}
