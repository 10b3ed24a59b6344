//! The files of a trial that U-Boot reads, the edits of the boot menu, and the wait for checks, tested without a
//! guest.

use std::fs;
use std::path::{Path, PathBuf};

use crate::guest::card::command;

/// The folder with the scripts of the trial.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial")
}

/// Runs `sh ARGS` in the folder of the scripts, and returns its stdout.
#[track_caller]
fn run_sh(args: &[&str]) -> Vec<u8> {
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
    let image = run_sh(&["boot-script.sh", "boot.cmd"]);
    let number_at = |offset: usize| u32::from_be_bytes(image[offset..offset + 4].try_into().unwrap());
    // include/image.h of U-Boot: magic, CRC of the header, time, size, load, entry, CRC of the data, then one byte
    // each for Linux, arm64, script, and no compression.
    let length = u32::try_from(script.len()).unwrap();
    assert_eq!([number_at(0), number_at(8), number_at(12)], [0x2705_1956, 0, length + 8]);
    assert_eq!(image[28..32], [5, 22, 6, 0]);
    assert_eq!(number_at(24), crc32(&image[64..]));
    let mut header = image[..64].to_vec();
    header[4..8].fill(0);
    assert_eq!(number_at(4), crc32(&header));
    assert_eq!([number_at(64), number_at(68)], [length, 0]);
    assert_eq!(image[72..], script);
    assert_eq!(image, run_sh(&["boot-script.sh", "boot.cmd"]), "the same bytes each time");
}

#[test]
fn the_flag_is_an_environment_of_uboot() {
    for label in ["nixos-trial", "x", &"y".repeat(400)] {
        let flag = run_sh(&["trial-flag.sh", label]);
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

/// Runs `call` with the functions of menu.sh and the menu `text`, which is also on stdin. Returns the stdout.
#[track_caller]
fn run_on_menu(text: &str, call: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("extlinux.conf");
    fs::write(&file, text).unwrap();
    let script = format!("set -eu; menu='{}'; . ./menu.sh; exec <\"$menu\"; {call}", file.display());
    String::from_utf8(run_sh(&["-c", &script])).unwrap()
}

#[test]
fn a_menu_starts_the_systems_of_its_entries() {
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
        assert_eq!(run_on_menu(MENU, call), expected, "{call}");
    }
    for text in ["", "DEFAULT\n", "LABEL x\n  APPEND init=/a/b\n", "LABEL x\n  LINUX y\n"] {
        assert_eq!(run_on_menu(text, "system_of x"), "", "{text:?}");
    }
}

#[test]
fn an_entry_is_added_and_removed() {
    let body = "$(body_of nixos-2-default \"$menu\")";
    let added = run_on_menu(MENU, &format!("add_entry nixos-trial 'NixOS - On trial' \"{body}\""));
    let entry = "\nLABEL nixos-trial\n  MENU LABEL NixOS - On trial\n  LINUX ../nixos/b-Image\n  \
                 INITRD ../nixos/b-initrd\n  APPEND quiet init=/nix/store/b-system/init\n";
    assert_eq!(added, format!("{MENU}{entry}"));
    // A second entry with the label replaces the first one.
    assert_eq!(run_on_menu(&added, &format!("add_entry nixos-trial 'NixOS - On trial' \"{body}\"")), added);
    assert_eq!(run_on_menu(&added, "without_entry nixos-trial"), MENU);
    assert_eq!(run_on_menu(MENU, "without_entry nixos-trial"), MENU);
    let first = MENU.split_once("\nLABEL nixos-default").unwrap().0;
    let second = MENU.split_once("\nLABEL nixos-2-default").unwrap().1;
    assert_eq!(
        run_on_menu(MENU, "without_entry nixos-default"),
        format!("{first}\nLABEL nixos-2-default{second}")
    );
}

#[test]
fn an_entry_gets_the_body_of_another() {
    let blessed = run_on_menu(MENU, "with_body nixos-default \"$(body_of nixos-2-default \"$menu\")\"");
    let expected = "LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/b-Image\n  \
                    INITRD ../nixos/b-initrd\n  APPEND quiet init=/nix/store/b-system/init\n\nLABEL nixos-2-default";
    assert!(blessed.contains(expected), "{blessed}");
    assert_eq!(run_on_menu(&blessed, "system_of \"$(default_label)\""), "/nix/store/b-system\n");
    assert_eq!(blessed.matches("LINUX").count(), 2);
}

/// Waiting jobs do not count, because each waits for a running job. After half of the time for the blessing, running
/// jobs do not count either.
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
        assert_eq!(run_sh(&["-c", &script]), format!("{expected}\n").as_bytes(), "{jobs}");
    }
}
