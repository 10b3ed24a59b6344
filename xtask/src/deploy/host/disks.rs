//! The file systems of the host: what is left, and what can no longer be written.

use anyhow::Result;
use serde::Serialize;

use super::question::{Answer, Question};
use super::ssh::{LOOK, Remote};

/// File systems that nobody writes to in the first place.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "iso9660", "cramfs"];

/// How many devices are told of.
const MOST: usize = 64;

/// How a file system says that it cannot be written to: by the second, ext4 of Linux 6.15 and newer does after an error.
const READ_ONLY: [&str; 2] = ["ro", "emergency_ro"];

/// What is of interest about file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disks {
    /// Free space for the Nix store, in bytes.
    pub free: Option<u64>,
    /// Where file systems are mounted that were to be written to and cannot be: the kernel makes them so on errors.
    pub read_only: Vec<String>,
}

impl Disks {
    pub fn read(remote: &Remote) -> Result<Self> {
        let mut question = Question::new()?;
        question.ask("free", "df -Pk /nix");
        question.ask("mounts", "cat /proc/self/mountinfo");
        Ok(Self::parse(&remote.ask(&question, LOOK)?))
    }

    fn parse(answer: &Answer) -> Self {
        let free = answer.lines("free").nth(1).and_then(|line| line.split_whitespace().nth(3));
        let free =
            free.and_then(|blocks| blocks.parse::<u64>().ok()).map(|blocks| blocks.saturating_mul(1024));
        let mut read_only = answer.lines("mounts").filter_map(read_only).collect::<Vec<_>>();
        read_only.sort_unstable();
        read_only.dedup();
        read_only.truncate(MOST);
        Self { free, read_only }
    }
}

/// The device of a line of mountinfo, where the file system itself, and not only this view of it, is read-only:
/// NixOS always shows /nix/store so.
fn read_only(line: &str) -> Option<String> {
    let (_, behind) = line.split_once(" - ")?;
    let [kind, device, options] = behind.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    let real = device.starts_with("/dev/") && !IMAGES.contains(&kind);
    (real && options.split(',').any(|option| READ_ONLY.contains(&option))).then(|| device.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_what_a_host_says() {
        let free = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
            /dev/mmcblk0p2 30000 10000 20000 34% /nix\n";
        let mounts = "22 1 179:2 / /nix rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
            23 22 179:2 /store /nix/store ro,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
            24 1 179:1 / /boot rw - vfat /dev/mmcblk0p1 ro,errors=remount-ro\n\
            25 1 179:1 / /mnt rw - vfat /dev/mmcblk0p1 ro,errors=remount-ro\n\
            26 1 7:0 / /snap ro - squashfs /dev/loop0 ro\n\
            27 1 0:1 / /sys ro - sysfs sysfs ro\n\
            28 1 8:1 / /srv rw - ext4 /dev/sda1 rw,errors=remount-ro,emergency_ro\n";
        let read_only = ["/dev/mmcblk0p1", "/dev/sda1"].map(str::to_owned).to_vec();
        let parse =
            |free: &str, mounts: &str| Disks::parse(&Answer::of(&[("free", free), ("mounts", mounts)]));
        assert_eq!(parse(free, mounts), Disks { free: Some(20000 * 1024), read_only });
        assert_eq!(parse("", ""), Disks::default());
        let endless = free.replace("20000", "18446744073709551615");
        assert_eq!(parse(&endless, "").free, Some(u64::MAX));
        let many =
            (0..1000).map(|number| format!("1 1 8:1 / / rw - ext4 /dev/{number} ro\n")).collect::<String>();
        assert_eq!(parse("", &many).read_only.len(), MOST);
        crate::base::fuzz::check_text(&[free, mounts], |text| parse(text, text));
    }
}
