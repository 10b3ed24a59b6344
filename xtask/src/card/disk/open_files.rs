//! Which processes keep a mounted filesystem busy, or have a disk open for writing, as far as this user may see.

use std::fs::read_link;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, statx};

use super::sysfs::Node;
use super::{Disk, Kind, Number, Roots};

/// More are not told.
const MANY: usize = 5;

/// The processes with a file open in `place` or below, or that work there: `bash (1234)`. Only names
/// are looked at, so a filesystem that hangs does no harm.
pub fn below(roots: &Roots, place: &Path) -> Vec<String> {
    those(roots, |process| uses(process, place))
}

/// The processes other than this one that have `disk` or a partition of it open for writing: the kernel lets them write also
/// while somebody else claims it.
pub fn writers(roots: &Roots, disk: &Disk) -> Vec<String> {
    let parts = disk.number.and_then(|number| Node::by_number(roots, number));
    let parts = parts.iter().flat_map(Node::partitions).filter_map(|part| part.device_number());
    let numbers = parts.chain(disk.number).collect::<Vec<_>>();
    let is_disk = |facts: &Statx| {
        let number = Number { major: facts.stx_rdev_major, minor: facts.stx_rdev_minor };
        let home = rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor);
        match (FileType::from_raw_mode(facts.stx_mode.into()), &disk.kind) {
            (FileType::BlockDevice, _) => numbers.contains(&number),
            (_, Kind::File { device, inode }) => (*device, *inode) == (home, facts.stx_ino),
            _ => false,
        }
    };
    let own = read_link(roots.proc.join("self")).ok();
    let is_own = |process: &Path| own.as_deref() == process.file_name().map(Path::new);
    those(roots, |process| !is_own(process) && writes(process, &is_disk))
}

/// The first processes of which `holds` is true, given their folders in `/proc`.
fn those(roots: &Roots, holds: impl Fn(&Path) -> bool) -> Vec<String> {
    let folders = roots.proc.read_dir().into_iter().flatten();
    let folders = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut processes = folders.filter_map(|name| name.parse::<u32>().ok()).collect::<Vec<_>>();
    processes.sort_unstable();
    let using = processes.into_iter().filter(|id| holds(&roots.proc.join(id.to_string())));
    using.map(|id| titled(roots, id)).take(MANY).collect()
}

/// Whether a process has something open for writing of which `is_disk` is true.
fn writes(process: &Path, is_disk: &impl Fn(&Statx) -> bool) -> bool {
    let open = process.join("fd").read_dir().into_iter().flatten();
    let mut names = open.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.any(|name| {
        // A file system that does not answer is not asked: what the kernel knows is enough.
        let facts = statx(
            CWD,
            process.join("fd").join(&name),
            AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT,
            StatxFlags::BASIC_STATS,
        );
        facts.is_ok_and(|facts| is_disk(&facts)) && is_for_writing(&process.join("fdinfo").join(name))
    })
}

/// By the flags of an open file, `flags:\t0100002` (proc(5)).
fn is_for_writing(info: &Path) -> bool {
    let text = std::fs::read_to_string(info).unwrap_or_default();
    let flags =
        text.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    let flags = flags.map_or(OFlags::empty(), OFlags::from_bits_retain);
    let writes = matches!(flags & OFlags::RWMODE, OFlags::WRONLY | OFlags::RDWR);
    writes && !flags.contains(OFlags::PATH)
}

fn uses(process: &Path, place: &Path) -> bool {
    let own = ["cwd", "root", "exe"].map(|link| process.join(link));
    let open = process.join("fd").read_dir().into_iter().flatten();
    let links = own.into_iter().chain(open.filter_map(|entry| Some(entry.ok()?.path())));
    links.filter_map(|link| read_link(link).ok()).any(|target: PathBuf| target.starts_with(place))
}

fn titled(roots: &Roots, id: u32) -> String {
    let name = std::fs::read_to_string(roots.proc.join(id.to_string()).join("comm"));
    format!("{} ({id})", name.as_deref().map_or("a process", str::trim))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::fake::FakeMachine;
    use super::*;

    #[test]
    fn who_works_or_reads_there() {
        let machine = FakeMachine::new();
        let roots = machine.roots();
        for (id, name, link, to) in [
            ("20", "bash", "cwd", "/media/me/CARD"),
            ("3", "vlc", "fd/7", "/media/me/CARD/film"),
            ("4", "cat", "fd/3", "/media/me/CARD2/film"),
        ] {
            machine.file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            machine.file(&format!("proc/{id}/fd/info"), "");
            symlink(to, roots.proc.join(id).join(link)).unwrap();
        }
        assert_eq!(below(&roots, Path::new("/media/me/CARD")), ["vlc (3)", "bash (20)"]);
    }

    #[test]
    fn who_writes_there() {
        let (machine, dir) = (FakeMachine::new(), tempfile::tempdir().unwrap());
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
            machine.file(&format!("proc/{id}/comm"), &format!("{name}\n"));
            machine.file(&format!("proc/{id}/fd/x"), "");
            machine
                .file(&format!("proc/{id}/fdinfo/{fd}"), &format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t25\n"));
            symlink(to, roots.proc.join(id).join("fd").join(fd)).unwrap();
        }
        std::fs::remove_dir_all(roots.proc.join("self")).unwrap();
        symlink("7", roots.proc.join("self")).unwrap();
        let disk = Disk::load(&roots, &card).unwrap();
        assert_eq!(writers(&roots, &disk), ["qemu (3)", "dd (20)"]);
    }
}
