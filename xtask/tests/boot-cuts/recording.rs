//! Recordings: the writes of a guest to its card, in their order.

use std::fs;
use std::path::Path;

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_2, lab, saved};

/// The script that gives the second system its own kernel and initrd, so that the menu writer copies them.
const OWN_KERNEL: &str = "k=/nix/store/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm-linux; cp -r /nix/store/k*-linux $k; \
                          for f in kernel:Image initrd:initrd dtbs:dtbs; do ln -sfn $k/${f#*:} $s/${f%:*}; done";

/// A write to a card, or a flush without data.
pub struct Write {
    /// The offset of the first byte on the card.
    pub offset: u64,
    pub data: Vec<u8>,
    /// Whether this write, and all writes before it, are on the card after any later power cut.
    pub flushes: bool,
}

/// Records the writes of a deploy with a reboot: the copies of kernel and initrd, the menu, the flag, the trial and
/// its blessing, and one more menu. The script `before` changes the guest first.
pub fn record_deploy(before: &str) -> Vec<Write> {
    record(|guest| {
        guest.run(before);
        guest.install(OWN_KERNEL);
        guest.run("boot-trial arm deployer");
        guest.reboot_into(SYSTEM_2);
        guest.run(&format!("boot-trial bless; boot-trial install {SYSTEM_2}; sync"));
    })
}

/// Records the writes of the guest during `act`.
pub fn record(act: impl FnOnce(&Guest)) -> Vec<Write> {
    let log = lab().new_file();
    let guest = Guest::restore_recorded(saved(), &log);
    act(&guest);
    guest.quit();
    read_writes(&log)
}

/// Records the writes of U-Boot on a Pi 3 until U-Boot starts Linux. `card` has a flag, which U-Boot clears.
pub fn record_uboot_of_a_pi_3(card: &Path) -> Vec<Write> {
    let log = lab().new_file();
    let guest = Guest::power_on_pi_3(card, Some(&log));
    guest.wait_for_line("append: init=", 0);
    guest.quit();
    read_writes(&log)
}

/// Reads the writes in the file `log` of QEMU's driver blklogwrites. It has the format of Linux' dm-log-writes: a
/// block with the number of entries, then for each entry a block with its header, and its data.
fn read_writes(log: &Path) -> Vec<Write> {
    let log = fs::read(log).unwrap();
    let number_at = |position: usize| u64::from_le_bytes(log[position..position + 8].try_into().unwrap());
    assert_eq!(number_at(0), 0x006a_7366_7773_6872, "the magic number");
    let block = u64::from(u32::from_le_bytes(log[24..28].try_into().unwrap()));
    let mut position = usize::try_from(block).unwrap();
    let mut writes = Vec::new();
    for _ in 0..number_at(16) {
        let [sector, count, flags] = [0, 8, 16].map(|offset| number_at(position + offset));
        position += usize::try_from(block).unwrap();
        // 1 is a flush, 2 a write that is flushed itself, 4 a discard, which has no data.
        let size = if flags & 4 == 0 { usize::try_from(count * block).unwrap() } else { 0 };
        writes.push(Write {
            offset: sector * block,
            data: log[position..position + size].to_vec(),
            flushes: flags & 3 != 0,
        });
        position += size;
    }
    writes
}
