//! The mounts and swap devices, read from `/proc`.

use std::path::{Path, PathBuf};

use super::{DeviceNumber, Roots};

/// One mount, by its line in mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u64,
    /// The `id` of the mount on which this mount stands.
    pub parent: u64,
    /// The number of the mounted device; anonymous for file systems without one device.
    pub number: DeviceNumber,
    /// The mount point.
    pub at: PathBuf,
    pub fstype: String,
    /// The source of the mount, `/dev/sda1`: identifies file systems without a device number of their own (btrfs,
    /// bcachefs).
    pub source: String,
}

/// Every mount in the namespace of this process.
pub fn mounts(roots: &Roots) -> Vec<Mount> {
    read_proc(roots, "self/mountinfo").lines().filter_map(parse_mount).collect()
}

/// Every mount in the namespace of the process `id`, as far as this user may see it.
pub fn mounts_of_process(roots: &Roots, id: u32) -> Vec<Mount> {
    read_proc(roots, &format!("{id}/mountinfo")).lines().filter_map(parse_mount).collect()
}

/// The innermost mount around `path`, found by the names alone: no system call asks the file system of `path`.
pub fn innermost_mount(roots: &Roots, path: &Path) -> Option<Mount> {
    let around = mounts(roots).into_iter().filter(|mount| path.starts_with(&mount.at));
    around.max_by_key(|mount| mount.at.components().count())
}

/// Whether a system call for `path` may hang, because a program or another machine serves the file system. Without such
/// calls, a block device is missed only where its node is on such a file system, and not in `/dev`.
pub fn may_hang(roots: &Roots, path: &Path) -> bool {
    const SERVED_TYPES: &[&str] = &["fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "virtiofs"];
    innermost_mount(roots, path)
        .is_some_and(|mount| SERVED_TYPES.iter().any(|fstype| mount.fstype.starts_with(fstype)))
}

/// The devices and files that are used as swap, `/dev/sda3`.
pub fn swaps(roots: &Roots) -> Vec<PathBuf> {
    parse_swaps(&read_proc(roots, "swaps"))
}

/// The text of `file` below `/proc`; empty where it cannot be read.
fn read_proc(roots: &Roots, file: &str) -> String {
    let bytes = std::fs::read(roots.proc.join(file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Parses a line of mountinfo, `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
/// (proc(5)).
fn parse_mount(line: &str) -> Option<Mount> {
    let (mount_part, filesystem_part) = line.split_once(" - ")?;
    let mut mount_fields = mount_part.split(' ');
    let id = mount_fields.next()?.parse().ok()?;
    let parent = mount_fields.next()?.parse().ok()?;
    let number = DeviceNumber::parse(mount_fields.next()?)?;
    let _root_in_filesystem = mount_fields.next()?;
    let at = PathBuf::from(unescape(mount_fields.next()?));
    let mut filesystem_fields = filesystem_part.split(' ');
    let fstype = filesystem_fields.next()?.to_owned();
    let source = unescape(filesystem_fields.next()?);
    Some(Mount { id, parent, number, at, fstype, source })
}

/// The swap devices and files in `text`, the content of `/proc/swaps`.
fn parse_swaps(text: &str) -> Vec<PathBuf> {
    let names = text.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().next());
    names.map(|name| PathBuf::from(unescape(name))).collect()
}

/// Decodes the escapes of mountinfo and fstab(5): a blank is `\040`.
pub fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => bytes.extend([b"\\", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_parsed() {
        let line = "41 27 8:17 / /run/media/me/MY\\040CARD rw master:3 - vfat /dev/sdb1 rw";
        let mount = parse_mount(line).unwrap();
        assert_eq!((mount.id, mount.parent), (41, 27));
        assert_eq!(mount.number, DeviceNumber { major: 8, minor: 17 });
        assert_eq!(mount.at, PathBuf::from("/run/media/me/MY CARD"));
        assert_eq!((mount.fstype.as_str(), mount.source.as_str()), ("vfat", "/dev/sdb1"));
        assert_eq!(parse_mount("no mount at all"), None);
    }

    #[test]
    fn fuzz() {
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap();
        let swaps = std::fs::read("/proc/swaps").unwrap();
        let mount_line = "41 27 8:17 / /run/media/me/MY\\040CARD rw master:3 - vfat /dev/sdb1 rw\n";
        let swap_table = "Filename\tType\n/swap\\040file file\t1\t0\t-3\n";
        let parse = |text: &str| (text.lines().filter_map(parse_mount).count(), parse_swaps(text).len());
        let texts =
            [&String::from_utf8_lossy(&mounts), mount_line, &String::from_utf8_lossy(&swaps), swap_table];
        crate::base::fuzz::check_text(&texts, parse);
    }

    #[test]
    fn swap_devices_and_files_are_parsed() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb1 partition\t1\t0\t-2\n/swap\\040file file\t1\t0\t-3\n";
        assert_eq!(parse_swaps(text), [PathBuf::from("/dev/sdb1"), PathBuf::from("/swap file")]);
        assert!(parse_swaps("Filename\n").is_empty());
    }

    #[test]
    fn octal_escapes_are_decoded() {
        for (text, plain) in [("a\\040b", "a b"), ("\\134", "\\"), ("a\\", "a\\"), ("\\9", "\\9")] {
            assert_eq!(unescape(text), plain, "{text}");
        }
    }
}
