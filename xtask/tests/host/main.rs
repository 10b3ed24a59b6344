//! A whole host in QEMU, with a real systemd and sshd: deploys over ssh, systemd in the initrd, what FIRMWARE and the
//! menu may lack, and the layout of nixpkgs, where sshd has the host key and the login key that the tool wrote.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod deploys;
mod formats;
#[path = "../guest/mod.rs"]
mod guest;
mod initrd;
mod login_key;
mod restore;
mod stock;
#[path = "../support/mod.rs"]
mod support;
mod workstation;

use guest::Guest;
use guest::card::{SYSTEM_1, SYSTEM_2, saved};

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_good_generation_blesses_itself() {
    let guest = Guest::restore(saved());
    guest.install("");
    assert_eq!(guest.status()["by"], "self");
    guest.reboot_into(SYSTEM_2);
    guest.wait_until("boot-trial status | grep -qx last-outcome=blessed");
    let status = guest.status();
    let values = ["booted", "blessed", "last-system"].map(|name| status[name].as_str());
    assert_eq!(values, [SYSTEM_2; 3], "{status:?}");
    // The menu has no entry of a trial any more.
    let menu = guest.run("cat /nix/boot/extlinux/extlinux.conf");
    assert!(!menu.contains("nixos-trial"), "{menu}");
    // Blessed once is blessed: the old generation is DEFAULT at once, and so is the new one after it.
    for system in [SYSTEM_1, SYSTEM_2] {
        guest.run(&format!("boot-trial install {system}"));
        let status = guest.status();
        assert_eq!((status["blessed"].as_str(), status["pending"].as_str()), (system, ""), "{status:?}");
    }
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn there_is_no_trial_until_prepare_firmware_writes_its_files() {
    let guest = Guest::restore(saved());
    guest.run("mount /boot/firmware; rm /boot/firmware/boot.scr");
    guest.install("");
    let status = guest.status();
    assert_eq!((status["blessed"].as_str(), status["pending"].as_str()), (SYSTEM_2, ""), "{status:?}");
    let missing = "boot.scr on FIRMWARE is missing or outdated (run update-firmware)";
    assert_eq!(status["missing"], missing);
    guest.run("rm /boot/firmware/trial.env; printf '\\0' | dd of=/dev/vda bs=1 seek=446 conv=notrunc 2>&1");
    let would = "trial: would write boot.scr on FIRMWARE\ntrial: would write trial.env on FIRMWARE\n\
                 trial: would mark partition 1 of /dev/vda as bootable\n";
    for _ in 0..2 {
        assert_eq!(guest.run("boot-trial prepare-firmware --dry-run"), would);
    }
    let (code, output) = guest.try_run("boot-trial prepare-firmware");
    assert_eq!(code, Some(0), "{output}");
    let written = "trial: boot.scr on FIRMWARE is written\ntrial: trial.env on FIRMWARE is written\n\
                   trial: partition 1 of /dev/vda is bootable\n";
    assert_eq!((output.as_str(), guest.status()["missing"].as_str()), (written, ""));
    assert_eq!(guest.run("boot-trial prepare-firmware"), "");
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_trial_that_is_aborted_or_whose_flag_is_damaged_does_not_take_place() {
    let guest = Guest::restore(saved());
    guest.install("");
    guest.run("boot-trial abort");
    let status = guest.status();
    let values = ["blessed", "pending", "last-outcome"].map(|name| status[name].as_str());
    assert_eq!(values, [SYSTEM_1, "", "aborted"], "{status:?}");
    let (code, output) = guest.try_run("boot-trial abort");
    assert_eq!((code, output.as_str()), (Some(1), "boot-trial: no system is pending\n"));
    let (code, output) = guest.try_run("boot-trial bless && boot-trial arm deployer");
    assert_eq!(code, Some(1), "the blessed system may be blessed again: {output}");
    assert!(output.ends_with("boot-trial: no system is pending\n"), "{output}");

    guest.run(&format!(
        "boot-trial install {SYSTEM_2}; printf x | dd of=/boot/firmware/trial.env seek=9 bs=1 conv=notrunc"
    ));
    guest.reboot_into(SYSTEM_1);
    guest.wait_until("boot-trial status | grep -q 'last-reason=trial.env was damaged'");
    let status = guest.status();
    assert_eq!((status["booted"].as_str(), status["blessed"].as_str()), (SYSTEM_1, SYSTEM_1), "{status:?}");
}

/// The menu of the card has four generations beside DEFAULT.
#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn the_limit_of_generations_spares_the_blessed_one() {
    let guest = Guest::restore(saved());
    guest.run(
        "set -e
         for number in 2 3 4 5 6; do
             k=$(echo /nix/store/k*-linux | tr k $number); mkdir -p $k/dtbs; echo $number >$k/Image; echo $number >$k/initrd
             s=$(echo /nix/store/1*-system-demo-1 | tr 1 $number); cp -a /nix/store/1*-system-demo-1 $s; chmod -R u+w $s
             for f in kernel:Image initrd:initrd dtbs:dtbs; do ln -sfn $k/${f#*:} $s/${f%:*}; done
             ln -s $s /nix/var/nix/profiles/system-$number-link; boot-trial install $s
         done",
    );
    let status = guest.status();
    assert_eq!(status["blessed"], SYSTEM_1, "{status:?}");
    let last = SYSTEM_1.replace('1', "6");
    assert_eq!(status["pending"], last, "{status:?}");
    let menu = guest.run("cat /nix/boot/extlinux/extlinux.conf");
    assert!(!menu.contains("LABEL nixos-1-default") && menu.contains("LABEL nixos-3-default"), "{menu}");
    let kernels = guest.run("cd /nix/boot/nixos; ls | cut -c 1 | sort -u | tr -d '\\n'");
    assert_eq!(kernels, "3456k", "that of the blessed generation is there, that of the second is gone");
    let roots = guest.run("cd /nix/var/nix/gcroots; readlink boot-blessed boot-trial");
    assert_eq!(roots, format!("{SYSTEM_1}\n{last}\n"));
}
