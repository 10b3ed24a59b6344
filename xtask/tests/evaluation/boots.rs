//! The evaluated units of growth and persistence, and the activation scripts of persistence, boot with Debian's
//! systemd on a card of the suite `trial`.

use std::fs::File;

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_2, saved};
use crate::ported::{Ported, write_units};

/// The size of the card minus the size of its image, in bytes.
const GROWTH: u64 = 512 << 20;

/// The script that adds the users and groups that the activation scripts name.
const USERS: &str = "printf 'ppetru:x:1000:100::/home/ppetru:/bin/sh\\noctoprint:x:997:997::/:/bin/sh\\n\\
    systemd-timesync:x:996:994::/:/bin/sh\\n' >>$s/etc/passwd
    printf 'octoprint:x:997:\\nsystemd-timesync:x:994:\\n' >>$s/etc/group";

#[test]
#[ignore = "needs Nix, QEMU, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn growth_and_persistence_boot_as_they_are_evaluated() {
    let facts = super::evaluate();
    let names = facts["boot"]["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let names = names.collect::<Vec<_>>();
    assert_eq!(names.len(), 7, "{names:?}");
    let guest = Guest::restore(saved());
    guest.run(&format!("cd /nix/store; {}", Ported::new(facts).unpack_command()));
    let activation = facts["boot"]["activation"].as_str().unwrap();
    guest.install(&format!(
        "u=$s/etc/systemd/system; mkdir -p $s/etc; cp /etc/passwd /etc/group $s/etc/; {USERS}
         printf '#!/bin/sh\\nset -e\\nexport PATH=/usr/bin:/usr/sbin\\n{}\\n' >$s/activate; chmod 755 $s/activate
         {}",
        activation.replace('\n', "\\n"),
        write_units(facts, &names)
    ));
    let card = guest.into_card("evaluated.img");
    let file = File::options().write(true).open(&card).unwrap();
    let size = file.metadata().unwrap().len() + GROWTH;
    file.set_len(size).unwrap();

    let guest = Guest::boot(&card);
    guest.wait_until("boot-trial status | grep -qx last-outcome=blessed");
    assert_eq!(guest.status()["booted"], SYSTEM_2);
    assert_active(&guest, &names);
    assert_fills_card(&guest, size);
    assert_persistent(&guest);

    guest.run("echo kept >/var/lib/octoprint/file; echo lost >/var/lib/file; sync");
    guest.reboot_into(SYSTEM_2);
    assert_eq!(
        guest.run("cat /var/lib/octoprint/file; ls /var/lib/file 2>&1 | grep -c 'No such file'"),
        "kept\n1\n"
    );
}

/// Asserts that `guest` has started the units `names`, and that no unit has failed.
#[track_caller]
fn assert_active(guest: &Guest, names: &[&str]) {
    for name in names {
        let state = format!("systemctl show -P ActiveState '{name}'");
        let log = format!("journalctl -b -u '{name}'");
        assert_eq!(guest.run(&state), "active\n", "{}", guest.run(&log));
    }
    assert_eq!(guest.run("journalctl -b | grep -c 'ordering cycle' || :"), "0\n");
    assert_eq!(guest.run("systemctl --failed --no-legend --plain"), "");
}

/// Asserts that the second partition of `guest` and its file system have grown to the end of the card of `size` bytes.
#[track_caller]
fn assert_fills_card(guest: &Guest, size: u64) {
    let end = "echo $((($(cat /sys/class/block/vda2/start) + $(cat /sys/class/block/vda2/size)) * 512))";
    assert_eq!(guest.run(end).trim().parse(), Ok(size), "the partition fills the card");
    let blocks = guest.run("df -B 1 --output=size /nix | tail -n 1");
    assert!(blocks.trim().parse::<u64>().unwrap() > GROWTH, "{blocks}");
}

/// Asserts that the folders and the machine ID of `guest` lie in `/nix/persist`, with their owners and modes.
#[track_caller]
fn assert_persistent(guest: &Guest) {
    for folder in ["/var/lib/nixos", "/home/ppetru", "/var/lib/octoprint"] {
        let source = guest.run(&format!("findmnt -n -o SOURCE {folder}"));
        assert_eq!(source, format!("/dev/vda2[/persist{folder}]\n"));
    }
    assert_eq!(guest.run("stat -c '%U %a' /home/ppetru /var/lib/octoprint"), "ppetru 700\noctoprint 750\n");
    let id = "cat /etc/machine-id /nix/persist/etc/machine-id | sort | uniq -c | wc -l";
    assert_eq!(guest.run(id), "1\n");
    assert_eq!(guest.run("findmnt -n -o SOURCE /etc/machine-id"), "/dev/vda2[/persist/etc/machine-id]\n");
}
