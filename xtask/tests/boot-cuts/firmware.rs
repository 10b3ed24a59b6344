//! Power cuts while FIRMWARE is updated: each of its files is the old one or the new one.

use std::collections::BTreeMap;

use crate::cut::cut_everywhere;
use crate::guest::Guest;
use crate::guest::card::saved;
use crate::guest::emulator::read_firmware;
use crate::recording::{Write, record};
use crate::{assert_starts, sample_cuts};

/// The files of FIRMWARE that the update makes longer.
const FILES: [&str; 3] = ["config.txt", "u-boot.bin", "bcm2837-rpi-3-b.dtb"];

/// The script that updates all [`FILES`].
const UPDATE: &str = "
    mount /boot/firmware
    cp -r /boot/firmware /tmp/tree
    for file in config.txt u-boot.bin bcm2837-rpi-3-b.dtb; do head -c 9000 /dev/zero | tr '\\0' '\\n' >>/tmp/tree/$file; done
    lib=$(echo /nix/store/t*-boot-trial)
    fat=$lib/fat.sh target=/boot/firmware tree=/tmp/tree then= sh $lib/update-firmware.sh
    umount /boot/firmware";

/// Records the writes of an update of FIRMWARE. The script `before` changes the guest first.
fn record_update(before: &str) -> Vec<Write> {
    record(|guest| {
        let output = guest.run(&format!("set -e; {before}; {UPDATE}"));
        assert_eq!(output.matches("updated ").count(), FILES.len(), "{output}");
    })
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
    let writes = record_update(":");
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
    let writes = record_update(rename);
    let outcomes = count_outcomes(&writes);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.keys().any(|outcome| outcome.contains(&"damaged")), "{outcomes:?}");
}
