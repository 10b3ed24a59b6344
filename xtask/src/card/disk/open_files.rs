//! The processes that keep a mounted file system busy, have a disk open, or see a mount of it, as far as this user may
//! see them.

use std::fmt;
use std::fs::read_link;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, makedev, statx};

use super::sysfs::BlockDevice;
use super::{DeviceNumber, Disk, DiskKind, Roots, mounts};

/// The number of processes that a message lists at most.
const MAX_LISTED: usize = 5;

/// A process that uses a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    id: u32,
    name: Option<String>,
    /// Whether the process is another run of this tool, or a program that one has started.
    is_of_tool: bool,
}

impl fmt::Display for Process {
    /// The name and the id: `bash (1234)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name.as_deref().unwrap_or("a process"), self.id)
    }
}

/// The titles of `processes`: `bash (1234), vlc (3)`.
pub fn titles<'a>(processes: impl IntoIterator<Item = &'a Process>) -> String {
    processes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The hint that says how the use of a disk by `processes` ends: other runs of this tool are waited for, since ending
/// one would leave its card half written; other programs are ended.
pub fn end_hint(processes: &[Process]) -> String {
    let (of_tool, others) = processes.iter().partition::<Vec<_>, _>(|process| process.is_of_tool);
    let are = if of_tool.len() == 1 { "is" } else { "are" };
    match (titles(of_tool.iter().copied()), titles(others.iter().copied())) {
        (runs, others) if runs.is_empty() => format!("end {others} first"),
        (runs, others) if others.is_empty() => format!("wait until {runs} {are} done"),
        (runs, others) => format!("wait until {runs} {are} done, and end {others}"),
    }
}

/// As [`end_hint`], for a lock, which `processes` may hold for a moment only.
pub fn wait_hint(processes: &[Process]) -> String {
    let others = processes.iter().filter(|process| !process.is_of_tool).collect::<Vec<_>>();
    if others.is_empty() {
        return end_hint(processes);
    }
    format!("wait until it ends, or end {}", titles(others))
}

/// The processes that use `folder` or something below it as an open file, working directory, root or program.
/// Reads only the names of the files, so that a file system that hangs does no harm.
pub fn users(roots: &Roots, folder: &Path) -> Vec<Process> {
    matching_processes(roots, |process| uses_folder(process, folder))
}

/// The processes other than this one that have `disk` or a partition of it open for writing: the kernel lets them write
/// even while another process claims the disk exclusively.
pub fn writers(roots: &Roots, disk: &Disk) -> Vec<Process> {
    other_processes(roots, disk, is_for_writing)
}

/// The processes other than this one that have `disk` or a partition of it open.
pub fn openers(roots: &Roots, disk: &Disk) -> Vec<Process> {
    other_processes(roots, disk, |_| true)
}

/// The processes other than this one that have `disk` or a partition of it open and locked.
pub fn lockers(roots: &Roots, disk: &Disk) -> Vec<Process> {
    other_processes(roots, disk, |info| info.lines().any(|line| line.starts_with("lock:")))
}

/// A mount of a disk that only the processes of another mount namespace see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenMount {
    pub at: PathBuf,
    /// A process that sees the mount.
    pub process: Process,
}

/// The first mount of `disk` or a partition of it that any process sees; `None` where no process sees one. The caller
/// has found no mount in its own namespace, so the mount is in another namespace, such as that of a container.
pub fn hidden_mount(roots: &Roots, disk: &Disk) -> Option<HiddenMount> {
    let numbers = device_numbers(roots, disk);
    process_ids(roots).into_iter().find_map(|id| {
        let mounts = mounts::mounts_of_process(roots, id);
        let mount = mounts.into_iter().find(|mount| numbers.contains(&mount.number))?;
        Some(HiddenMount { at: mount.at, process: process(roots, id) })
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
fn other_processes(roots: &Roots, disk: &Disk, matches: impl Fn(&str) -> bool) -> Vec<Process> {
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

/// The first [`MAX_LISTED`] processes whose folders in `/proc` satisfy `matches`.
fn matching_processes(roots: &Roots, matches: impl Fn(&Path) -> bool) -> Vec<Process> {
    let found = process_ids(roots).into_iter().filter(|id| matches(&roots.proc.join(id.to_string())));
    found.take(MAX_LISTED).map(|id| process(roots, id)).collect()
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

/// The process with this id.
fn process(roots: &Roots, id: u32) -> Process {
    let name = name(roots, &id.to_string());
    let parent = parent(roots, id).and_then(|parent| self::name(roots, &parent));
    let tool = self::name(roots, "self");
    let is_of_tool = tool.is_some() && (name == tool || parent == tool);
    Process { id, name, is_of_tool }
}

/// The name of the process with the folder `id` in `/proc`.
fn name(roots: &Roots, id: &str) -> Option<String> {
    let name = std::fs::read_to_string(roots.proc.join(id).join("comm")).ok()?;
    Some(name.trim().to_owned())
}

/// The id of the process that has started the process with this id (`proc_pid_status(5)`).
fn parent(roots: &Roots, id: u32) -> Option<String> {
    let status = std::fs::read_to_string(roots.proc.join(id.to_string()).join("status")).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix("PPid:")?.trim().to_owned()))
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
        assert_eq!(titles(&users(&roots, Path::new("/media/me/CARD"))), "vlc (3), bash (20)");
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
        assert_eq!(titles(&writers(&roots, &disk)), "qemu (3), dd (20)");
        assert_eq!(titles(&openers(&roots, &disk)), "qemu (3), cat (4), path (5), dd (20)");
        assert!(lockers(&roots, &disk).is_empty());
        let lock = "flags:\t0100000\nlock:\t1: FLOCK  ADVISORY  WRITE 4 00:05:211 0 EOF\n";
        machine.write_file("proc/4/fdinfo/3", lock);
        assert_eq!(titles(&lockers(&roots, &disk)), "cat (4)");
    }

    #[test]
    fn another_run_of_this_tool_is_waited_for_and_not_ended() {
        let machine = FakeMachine::new();
        let roots = machine.roots();
        std::fs::remove_dir_all(roots.proc.join("self")).unwrap();
        symlink("7", roots.proc.join("self")).unwrap();
        for (id, name, parent) in [
            (7, "xtask", 1),
            (8, "xtask", 1),
            (9, "e2image", 8),
            (10, "dd", 1),
            (11, "sh", 10),
            (12, "xtask", 9),
        ] {
            machine.write_file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            let status = format!("Name:\t{name}\nPid:\t{id}\nPPid:\t{parent}\n");
            machine.write_file(&format!("proc/{id}/status"), &status);
        }
        for (ids, hint) in [
            (&[8][..], "wait until xtask (8) is done"),
            (&[8, 9], "wait until xtask (8), e2image (9) are done"),
            (&[8, 12], "wait until xtask (8), xtask (12) are done"),
            (&[9], "wait until e2image (9) is done"),
            (&[10], "end dd (10) first"),
            (&[10, 11], "end dd (10), sh (11) first"),
            (&[8, 10], "wait until xtask (8) is done, and end dd (10)"),
            (&[99], "end a process (99) first"),
        ] {
            let processes = ids.iter().map(|id| process(&roots, *id)).collect::<Vec<_>>();
            assert_eq!(end_hint(&processes), hint);
        }
        std::fs::remove_file(roots.proc.join("self")).unwrap();
        assert_eq!(end_hint(&[process(&roots, 99)]), "end a process (99) first");
    }
}
