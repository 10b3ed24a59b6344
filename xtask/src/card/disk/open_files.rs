//! The processes that keep a mounted file system busy, have a disk open, or see a mount of it, as far as this user may
//! see them.

use std::fs::read_link;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, makedev, statx};

use super::sysfs::BlockDevice;
use super::{DeviceNumber, Disk, DiskKind, Roots, mounts};

/// The number of processes that a message lists at most.
const MAX_LISTED: usize = 5;

/// The processes that use `folder` or something below it as an open file, working directory, root or program:
/// `bash (1234)`. Reads only the names of the files, so that a file system that hangs does no harm.
pub fn users(roots: &Roots, folder: &Path) -> Vec<String> {
    matching_processes(roots, |process| uses_folder(process, folder))
}

/// The processes other than this one that have `disk` or a partition of it open for writing: the kernel lets them write
/// even while another process claims the disk exclusively.
pub fn writers(roots: &Roots, disk: &Disk) -> Vec<String> {
    other_processes(roots, disk, is_for_writing)
}

/// The processes other than this one that have `disk` or a partition of it open.
pub fn openers(roots: &Roots, disk: &Disk) -> Vec<String> {
    other_processes(roots, disk, |_| true)
}

/// The processes other than this one that have `disk` or a partition of it open and locked.
pub fn lockers(roots: &Roots, disk: &Disk) -> Vec<String> {
    other_processes(roots, disk, |info| info.lines().any(|line| line.starts_with("lock:")))
}

/// A mount of a disk that only the processes of another mount namespace see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenMount {
    pub at: PathBuf,
    /// A process that sees the mount.
    pub process: String,
}

/// The first mount of `disk` or a partition of it that any process sees; `None` where no process sees one. The caller
/// has found no mount in its own namespace, so the mount is in another namespace, such as that of a container.
pub fn hidden_mount(roots: &Roots, disk: &Disk) -> Option<HiddenMount> {
    let numbers = device_numbers(roots, disk);
    process_ids(roots).into_iter().find_map(|id| {
        let mounts = mounts::mounts_of_process(roots, id);
        let mount = mounts.into_iter().find(|mount| numbers.contains(&mount.number))?;
        Some(HiddenMount { at: mount.at, process: process_title(roots, id) })
    })
}

/// The device numbers of `disk` and its partitions.
fn device_numbers(roots: &Roots, disk: &Disk) -> Vec<DeviceNumber> {
    let device = disk.number.and_then(|number| BlockDevice::by_number(roots, number));
    let parts = device.iter().flat_map(BlockDevice::partitions).filter_map(|part| part.device_number());
    parts.chain(disk.number).collect()
}

/// The processes other than this one that have `disk` or a partition of it open, with an fdinfo file whose content
/// satisfies `matches`.
fn other_processes(roots: &Roots, disk: &Disk, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let numbers = device_numbers(roots, disk);
    let own_id = read_link(roots.proc.join("self")).ok();
    let is_own = |process: &Path| own_id.as_deref() == process.file_name().map(Path::new);
    let has_disk_open = |process: &Path| has_open(process, |stat| is_of_disk(stat, disk, &numbers), &matches);
    matching_processes(roots, |process| !is_own(process) && has_disk_open(process))
}

/// Whether `stat` describes a block device with one of the `numbers` of `disk`, or the plain file that is `disk`.
fn is_of_disk(stat: &Statx, disk: &Disk, numbers: &[DeviceNumber]) -> bool {
    if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice {
        return numbers.contains(&DeviceNumber { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor });
    }
    match disk.kind {
        DiskKind::File { device, inode } => {
            device == makedev(stat.stx_dev_major, stat.stx_dev_minor) && inode == stat.stx_ino
        }
        _ => false,
    }
}

/// The titles of the first [`MAX_LISTED`] processes whose folders in `/proc` satisfy `matches`.
fn matching_processes(roots: &Roots, matches: impl Fn(&Path) -> bool) -> Vec<String> {
    let found = process_ids(roots).into_iter().filter(|id| matches(&roots.proc.join(id.to_string())));
    found.map(|id| process_title(roots, id)).take(MAX_LISTED).collect()
}

/// The ids of all processes, in ascending order.
fn process_ids(roots: &Roots) -> Vec<u32> {
    let entries = roots.proc.read_dir().into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut ids = names.filter_map(|name| name.parse::<u32>().ok()).collect::<Vec<_>>();
    ids.sort_unstable();
    ids
}

/// Whether the process with the folder `process` in `/proc` has a file open whose statx satisfies `is_disk`, and whose
/// fdinfo file satisfies `matches`.
fn has_open(process: &Path, is_disk: impl Fn(&Statx) -> bool, matches: impl Fn(&str) -> bool) -> bool {
    // Cached facts suffice: asking a file system that does not answer would hang.
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let descriptors = process.join("fd").read_dir().into_iter().flatten();
    let mut names = descriptors.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.any(|name| {
        let stat = statx(CWD, process.join("fd").join(&name), flags, StatxFlags::BASIC_STATS);
        let info = || std::fs::read_to_string(process.join("fdinfo").join(&name)).unwrap_or_default();
        stat.is_ok_and(|stat| is_disk(&stat)) && matches(&info())
    })
}

/// Whether the content `info` of an fdinfo file has the flags of a file open for writing, `flags:\t0100002` (proc(5)).
fn is_for_writing(info: &str) -> bool {
    let octal = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let bits = octal.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    let flags = bits.map_or(OFlags::empty(), OFlags::from_bits_retain);
    let writes = matches!(flags & OFlags::RWMODE, OFlags::WRONLY | OFlags::RDWR);
    writes && !flags.contains(OFlags::PATH)
}

/// Whether the process with the folder `process` in `/proc` uses `folder` or something below it.
fn uses_folder(process: &Path, folder: &Path) -> bool {
    let fixed_links = ["cwd", "root", "exe"].map(|link| process.join(link));
    let descriptors = process.join("fd").read_dir().into_iter().flatten();
    let links = fixed_links.into_iter().chain(descriptors.filter_map(|entry| Some(entry.ok()?.path())));
    links.filter_map(|link| read_link(link).ok()).any(|target: PathBuf| target.starts_with(folder))
}

/// The name and the id of a process: `bash (1234)`.
fn process_title(roots: &Roots, id: u32) -> String {
    let name = std::fs::read_to_string(roots.proc.join(id.to_string()).join("comm"));
    format!("{} ({id})", name.as_deref().map_or("a process", str::trim))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::fake::FakeMachine;
    use super::*;

    #[test]
    fn processes_in_a_folder_are_its_users() {
        let machine = FakeMachine::new();
        let roots = machine.roots();
        for (id, name, link, to) in [
            ("20", "bash", "cwd", "/media/me/CARD"),
            ("3", "vlc", "fd/7", "/media/me/CARD/film"),
            ("4", "cat", "fd/3", "/media/me/CARD2/film"),
        ] {
            machine.write_file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            machine.write_file(&format!("proc/{id}/fd/info"), "");
            symlink(to, roots.proc.join(id).join(link)).unwrap();
        }
        assert_eq!(users(&roots, Path::new("/media/me/CARD")), ["vlc (3)", "bash (20)"]);
    }

    #[test]
    fn the_openers_writers_and_lockers_of_a_disk_are_told_apart() {
        let machine = FakeMachine::new();
        let dir = tempfile::tempdir().unwrap();
        let [card, other] = ["card", "other"].map(|name| dir.path().join(name));
        for file in [&card, &other] {
            std::fs::write(file, [0; 512]).unwrap();
        }
        let roots = machine.roots();
        let rows = [
            ("20", "dd", "1", &card, "0100001"),
            ("3", "qemu", "7", &card, "0102002"),
            ("4", "cat", "3", &card, "0100000"),
            ("5", "path", "3", &card, "012000002"),
            ("6", "elsewhere", "3", &other, "0100002"),
            ("7", "itself", "3", &card, "0100002"),
        ];
        for (id, name, fd, to, flags) in rows {
            machine.write_file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            machine.write_file(&format!("proc/{id}/fd/x"), "");
            machine.write_file(
                &format!("proc/{id}/fdinfo/{fd}"),
                &format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t25\n"),
            );
            symlink(to, roots.proc.join(id).join("fd").join(fd)).unwrap();
        }
        std::fs::remove_dir_all(roots.proc.join("self")).unwrap();
        symlink("7", roots.proc.join("self")).unwrap();
        let disk = Disk::load(&roots, &card).unwrap();
        assert_eq!(writers(&roots, &disk), ["qemu (3)", "dd (20)"]);
        assert_eq!(openers(&roots, &disk), ["qemu (3)", "cat (4)", "path (5)", "dd (20)"]);
        assert!(lockers(&roots, &disk).is_empty());
        let lock = "flags:\t0100000\nlock:\t1: FLOCK  ADVISORY  WRITE 4 00:05:211 0 EOF\n";
        machine.write_file("proc/4/fdinfo/3", lock);
        assert_eq!(lockers(&roots, &disk), ["cat (4)"]);
    }
}
