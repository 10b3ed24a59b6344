//! The file systems of the host: free space, and read-only ones.

use serde::Serialize;

use super::query::{Answer, Query};

/// File systems that are read-only by design.
const IMAGE_FILE_SYSTEMS: &[&str] = &["squashfs", "erofs", "iso9660", "cramfs"];

/// How many devices are reported at most.
const MAX_DEVICES: usize = 64;

/// Mount options of a read-only file system. ext4 of Linux 6.15 and newer has `emergency_ro` after an error.
const READ_ONLY_OPTIONS: &[&str] = &["ro", "emergency_ro"];

/// The free space and the faults of the host's file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// Free space for the Nix store, in bytes.
    pub free: Option<u64>,
    /// Devices of writable file systems that are mounted read-only, as the kernel does after an error.
    pub read_only: Vec<String>,
}

impl Disks {
    /// Adds the commands from whose output the file systems are read.
    pub fn add_queries(query: &mut Query) {
        query.add("free", "df -Pk /nix");
        query.add("mounts", "cat /proc/self/mountinfo");
    }

    /// Reads the parts of [`Self::add_queries`].
    pub fn read(answer: &Answer) -> Self {
        let mut read_only = answer.lines("mounts").filter_map(read_only_device).collect::<Vec<_>>();
        read_only.sort_unstable();
        read_only.dedup();
        read_only.truncate(MAX_DEVICES);
        Self { free: free_bytes(answer), read_only }
    }
}

/// The free bytes in the part `free`, the output of `df -Pk`; `None` if that is no such output.
pub fn free_bytes(answer: &Answer) -> Option<u64> {
    let blocks = answer.lines("free").nth(1)?.split_whitespace().nth(3)?;
    Some(blocks.parse::<u64>().ok()?.saturating_mul(1024))
}

/// The device in a line of mountinfo, if its file system is read-only and should not be. A read-only mount of a
/// writable file system does not count: NixOS always mounts /nix/store read-only.
fn read_only_device(line: &str) -> Option<String> {
    let (_, file_system) = line.split_once(" - ")?;
    let [kind, device, options] = file_system.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    let is_writable_kind = device.starts_with("/dev/") && !IMAGE_FILE_SYSTEMS.contains(&kind);
    let is_read_only = options.split(',').any(|option| READ_ONLY_OPTIONS.contains(&option));
    (is_writable_kind && is_read_only).then(|| device.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: &str = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
        /dev/mmcblk0p2 30000 10000 20000 34% /nix\n";

    fn parse(free: &str, mounts: &str) -> Disks {
        Disks::read(&Answer::of(&[("free", free), ("mounts", mounts)]))
    }

    #[test]
    fn free_space_and_disks_that_became_read_only_are_read() {
        let mounts = "22 1 179:2 / /nix rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
            23 22 179:2 /store /nix/store ro,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
            24 1 179:1 / /boot rw - vfat /dev/mmcblk0p1 ro,errors=remount-ro\n\
            25 1 179:1 / /mnt rw - vfat /dev/mmcblk0p1 ro,errors=remount-ro\n\
            26 1 7:0 / /snap ro - squashfs /dev/loop0 ro\n\
            27 1 0:1 / /sys ro - sysfs sysfs ro\n\
            28 1 8:1 / /srv rw - ext4 /dev/sda1 rw,errors=remount-ro,emergency_ro\n";
        let read_only = ["/dev/mmcblk0p1", "/dev/sda1"].map(str::to_owned).to_vec();
        assert_eq!(parse(FREE, mounts), Disks { free: Some(20000 * 1024), read_only });
        assert_eq!(parse("", ""), Disks::default());
    }

    #[test]
    fn endless_numbers_and_lists_are_limited() {
        let endless = FREE.replace("20000", "18446744073709551615");
        assert_eq!(parse(&endless, "").free, Some(u64::MAX));
        let many =
            (0..1000).map(|number| format!("1 1 8:1 / / rw - ext4 /dev/{number} ro\n")).collect::<String>();
        assert_eq!(parse("", &many).read_only.len(), MAX_DEVICES);
    }

    #[test]
    fn fuzz_the_answer_of_a_host() {
        let mounts = "28 1 8:1 / /srv rw - ext4 /dev/sda1 rw,errors=remount-ro,emergency_ro\n";
        crate::base::fuzz::check_text(&[FREE, mounts], |text| parse(text, text));
    }
}
