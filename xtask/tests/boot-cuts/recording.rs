//! Recordings: the writes of a guest to its card, in their order.

use std::fs;
use std::path::Path;

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_2, lab, saved};

/// A kernel and an initrd of its own for the second system, so that the menu writer copies them.
const OWN_KERNEL: &str = "k=/nix/store/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm-linux; cp -r /nix/store/k*-linux $k; \
                          for f in kernel:Image initrd:initrd dtbs:dtbs; do ln -sfn $k/${f#*:} $s/${f%:*}; done";

/// A write to a card, or a flush without data.
pub struct Write {
    /// The first byte.
    pub at: u64,
    pub data: Vec<u8>,
    /// Whether all that was written before is on the card from here on.
    pub flushes: bool,
}

/// Records a deploy with a reboot: the copies of kernel and initrd, the menu, the flag, the trial and its blessing, and
/// one more menu after it. `before` changes the guest first.
pub fn record_deploy(before: &str) -> Vec<Write> {
    record(|guest| {
        guest.run(before);
        guest.install(OWN_KERNEL);
        guest.run("boot-trial arm deployer");
        guest.reboot_into(SYSTEM_2);
        guest.run(&format!("boot-trial bless; boot-trial install {SYSTEM_2}; sync"));
    })
}

/// Records what `act` makes the guest write.
pub fn record(act: impl FnOnce(&Guest)) -> Vec<Write> {
    let record = lab().new_file();
    let guest = Guest::restore_recorded(saved(), &record);
    act(&guest);
    guest.quit();
    writes(&record)
}

/// Records U-Boot on a Pi 3 until it starts Linux. `card` has a flag, which U-Boot clears.
pub fn record_uboot_of_a_pi_3(card: &Path) -> Vec<Write> {
    let record = lab().new_file();
    let guest = Guest::power_on_pi_3(card, Some(&record));
    guest.wait_for_line("append: init=", 0);
    guest.quit();
    writes(&record)
}

/// The writes in the file `record` of QEMU's driver blklogwrites, which has the format of Linux' dm-log-writes: a block
/// with the number of entries, then for each entry a block with its header, and its data.
fn writes(record: &Path) -> Vec<Write> {
    let log = fs::read(record).unwrap();
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
    assert_eq!(number(0), 0x006a_7366_7773_6872, "the magic number");
    let block = u64::from(u32::from_le_bytes(log[24..28].try_into().unwrap()));
    let mut at = usize::try_from(block).unwrap();
    let mut writes = Vec::new();
    for _ in 0..number(16) {
        let [sector, count, flags] = [0, 8, 16].map(|offset| number(at + offset));
        at += usize::try_from(block).unwrap();
        // 4 is a discard, which has no data.
        let size = if flags & 4 == 0 { usize::try_from(count * block).unwrap() } else { 0 };
        writes.push(Write { at: sector * block, data: log[at..at + size].to_vec(), flushes: flags & 3 != 0 });
        at += size;
    }
    writes
}
