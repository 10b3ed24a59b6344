//! Power cuts while FIRMWARE is updated: each of its files is the old one or the new one, and config.txt names a U-Boot
//! that is there.

use std::collections::BTreeMap;

use crate::cut::cut_everywhere;
use crate::guest::Guest;
use crate::guest::card::saved;
use crate::guest::emulator::read_firmware;
use crate::recording::{Write, record};
use crate::{assert_starts, sample_cuts};

/// The files of FIRMWARE that the update makes longer.
const FILES: [&str; 3] = ["config.txt", "u-boot.bin", "bcm2837-rpi-3-b.dtb"];

/// The script that makes all [`FILES`] of the new FIRMWARE longer.
const LONGER: &str = "for file in config.txt u-boot.bin bcm2837-rpi-3-b.dtb; do
    head -c 9000 /dev/zero | tr '\\0' '\\n' >>$file; done";

/// The script that renames U-Boot in the new FIRMWARE, as the change from a U-Boot for each board to one for all did.
const RENAMED: &str = "mv u-boot.bin u-boot-all.bin; sed -i s/u-boot.bin/u-boot-all.bin/ config.txt";

/// Records the writes of an update to the FIRMWARE that the script `change` makes of the old one. The script `before`
/// changes the guest first. The update writes `count` files.
fn record_update(before: &str, change: &str, count: usize) -> Vec<Write> {
    record(|guest| {
        let output = guest.run(&format!(
            "set -e; {before}; mount /boot/firmware; cp -r /boot/firmware /tmp/tree; (cd /tmp/tree; {change})
             lib=$(echo /nix/store/t*-boot-trial)
             fat=$lib/fat.sh target=/boot/firmware tree=/tmp/tree then= sh $lib/update-firmware.sh
             umount /boot/firmware"
        ));
        assert_eq!(output.matches("updated ").count(), count, "{output}");
    })
}

/// The names of U-Boot in config.txt after each cut of `writes`, each with whether that U-Boot is whole, and the number
/// of the cuts that leave it so.
fn count_named_uboots(writes: &[Write]) -> BTreeMap<(String, bool), u32> {
    let uboot = read_firmware(&saved().card, "u-boot.bin");
    let mut outcomes = BTreeMap::new();
    cut_everywhere(&saved().card, writes, 8, |_, _, card| {
        let config = String::from_utf8_lossy(&read_firmware(&card.path, "config.txt")).into_owned();
        let name =
            config.lines().find_map(|line| line.strip_prefix("kernel=")).unwrap_or_default().to_owned();
        let is_whole = !name.is_empty() && read_firmware(&card.path, &name) == uboot;
        *outcomes.entry((name, is_whole)).or_default() += 1;
    });
    outcomes
}

/// The states of [`FILES`] after each cut of `writes`, with the number of the cuts that leave them.
fn count_outcomes(writes: &[Write]) -> BTreeMap<[&'static str; 3], u32> {
    let old_contents = FILES.map(|name| read_firmware(&saved().card, name));
    let mut outcomes = BTreeMap::new();
    cut_everywhere(&saved().card, writes, 8, |_, _, card| {
        let outcome = [0, 1, 2].map(|file| {
            let content = read_firmware(&card.path, FILES[file]);
            match content.strip_prefix(&old_contents[file][..]) {
                Some([]) => "old",
                Some(added) if added == [b'\n'; 9000] => "new",
                _ => "damaged",
            }
        });
        *outcomes.entry(outcome).or_default() += 1;
    });
    outcomes
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_power_cut_while_firmware_is_updated_leaves_whole_files() {
    let writes = record_update(":", LONGER, FILES.len());
    let outcomes = count_outcomes(&writes);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.contains_key(&["old"; 3]) && outcomes.contains_key(&["new"; 3]), "{outcomes:?}");
    assert!(!outcomes.keys().any(|outcome| outcome.contains(&"damaged")), "{outcomes:?}");
    for (card, entry) in sample_cuts(&saved().card, &writes, 2) {
        assert_starts(&Guest::power_on_pi_3(&card, None), &entry);
    }
}

/// Other programs sync and rename a new file.
#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_file_of_firmware_that_is_only_synced_and_renamed_is_lost_at_times() {
    let rename = "sed -i 's/mv --exchange/mv -f/' /nix/store/t*-boot-trial/fat.sh";
    let writes = record_update(rename, LONGER, FILES.len());
    let outcomes = count_outcomes(&writes);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.keys().any(|outcome| outcome.contains(&"damaged")), "{outcomes:?}");
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn config_txt_never_names_a_u_boot_that_is_not_there() {
    let writes = record_update(":", RENAMED, 2);
    let outcomes = count_named_uboots(&writes);
    println!("{} writes: {outcomes:?}", writes.len());
    let names = outcomes.keys().map(|(name, is_whole)| (name.as_str(), *is_whole)).collect::<Vec<_>>();
    assert_eq!(names, [("u-boot-all.bin", true), ("u-boot.bin", true)]);
}

/// In the order of their names, config.txt comes first.
#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_config_txt_that_comes_first_names_a_missing_u_boot_at_times() {
    let sorted = "sed -i 's/^names=.*/names=$(cd \"$tree\" \\&\\& find . -type f | sort)/' \
                  /nix/store/t*-boot-trial/update-firmware.sh";
    let writes = record_update(sorted, RENAMED, 2);
    let outcomes = count_named_uboots(&writes);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.contains_key(&("u-boot-all.bin".to_owned(), false)), "{outcomes:?}");
}
