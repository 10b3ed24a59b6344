//! Opening a disk. To write it, for nobody else: the kernel's exclusive claim against mounts and swap, and a
//! lock that keeps udev and automounters away. To read it, together with others that read.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::refusal::refuse;
use super::refusals::unwritable;
use super::usage::Usage;
use super::{Disk, Kind, Number, Partition, Roots, open_files};
use crate::base::failure::ExitKind as Failure;

/// udev locks a disk while it probes it, for some milliseconds; who holds it longer means it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// For a program that has written the disk and is about to close it.
const MOMENT: Duration = Duration::from_secs(1);

/// A disk that is open and locked until this is dropped.
#[derive(Debug)]
pub struct Locked {
    file: File,
    claim: Claim,
    roots: Roots,
    /// As it was confirmed.
    disk: Disk,
    /// The kernel's count of events of devices when the disk was last checked; none before that.
    events: Mutex<Option<u64>>,
}

/// What a disk is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Reading and writing, by nobody else.
    Exclusive,
    /// Reading, also while it is mounted, but not while somebody writes a card.
    Shared,
}

/// Opens and locks `disk` for writing. It is never created, and what is open is the disk that was
/// confirmed. `EBUSY` is final and its reason is told.
pub fn open_exclusive(roots: &Roots, disk: &Disk) -> Result<Locked> {
    open(roots, disk, Claim::Exclusive)
}

/// Opens and locks `disk`, which must be the one that was looked at, for reading.
pub fn open_shared(roots: &Roots, disk: &Disk) -> Result<Locked> {
    open(roots, disk, Claim::Shared)
}

/// Takes over `file`, which another process has opened and locked by [`open_exclusive`] or [`open_shared`].
pub fn adopt(roots: &Roots, disk: &Disk, file: File, exclusive: bool) -> Result<Locked> {
    let claim = if exclusive { Claim::Exclusive } else { Claim::Shared };
    let locked = Locked { file, claim, roots: roots.clone(), disk: disk.clone(), events: Mutex::new(None) };
    locked.check()?;
    Ok(locked)
}

fn open(roots: &Roots, disk: &Disk, claim: Claim) -> Result<Locked> {
    let exclusive = claim == Claim::Exclusive;
    let virtual_card = matches!(disk.kind, Kind::File { .. });
    let claimed = if exclusive && !virtual_card { OFlags::EXCL } else { OFlags::empty() };
    let flags = (claimed | OFlags::CLOEXEC).bits().cast_signed();
    let opened = OpenOptions::new().read(true).write(exclusive).custom_flags(flags).open(&disk.path);
    let file = opened.map_err(|error| explain(roots, disk, claim, error))?;
    lock(&file, disk, claim)?;
    let locked = Locked { file, claim, roots: roots.clone(), disk: disk.clone(), events: Mutex::new(None) };
    locked.check()?;
    if exclusive {
        nobody_writes(roots, disk)?;
    }
    Ok(locked)
}

/// Fails where another process goes on having `disk` open for writing. One that has just written it may be about to end.
fn nobody_writes(roots: &Roots, disk: &Disk) -> Result<()> {
    let deadline = Instant::now() + MOMENT;
    loop {
        let writers = open_files::writers(roots, disk);
        if writers.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let (path, writers) = (disk.path.display(), writers.join(", "));
            return Err(
                Failure::Refused.error(format!("{path} is open for writing in {writers}; end that first"))
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Locked {
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Fails where what is open is not, or no more, the disk that was confirmed, or must not be written
    /// though that is what it is open for, whatever the one who asks has checked before. To be asked again before a write on which much depends.
    pub fn check(&self) -> Result<()> {
        let now = self.now()?;
        self.disk.same_as(&now)?;
        match self.claim {
            Claim::Exclusive => refuse(&unwritable(&now)),
            Claim::Shared => Ok(()),
        }
    }

    /// [`Self::check`], unless no device of the machine has come, gone or changed since the last time: a loop device that
    /// is attached to the disk, and a disk that changes its size, are such an event.
    pub fn check_events(&self) -> Result<()> {
        let now = events(&self.roots);
        let mut last = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none() || now != *last {
            self.check()?;
            *last = now;
        }
        Ok(())
    }

    /// The disk that is open: everything is asked of the descriptor, or looked up by its device number,
    /// and nothing by its path.
    pub fn now(&self) -> Result<Disk> {
        let path = self.disk.path.display();
        let doing = || format!("looking at {path}");
        let stat = self.file.metadata().with_context(doing)?;
        let size = (&self.file).seek(SeekFrom::End(0)).with_context(doing)?;
        if stat.is_file() {
            let kind = Kind::File { device: stat.dev(), inode: stat.ino() };
            let read_only = stat.permissions().readonly();
            let uses = Usage::load(&self.roots).of_file(&self.roots, &self.disk.path);
            return Ok(Disk { size, kind, number: None, read_only, uses, ..self.disk.clone() });
        }
        if !stat.file_type().is_block_device() {
            return Err(Failure::Refused.error(format!("{path} is not a disk any more; start again")));
        }
        let sector_size = rustix::fs::ioctl_blksszget(&self.file).with_context(doing)?;
        let gone = |_| Failure::Io.error(format!("{path} is gone; was it unplugged?"));
        let disk = Disk::by_number(&self.roots, Number::from_raw(stat.rdev())).map_err(gone)?;
        Ok(Disk { size, sector_size, ..disk })
    }
}

/// The number of events that the kernel has told userspace so far; none where it does not say.
fn events(roots: &Roots) -> Option<u64> {
    std::fs::read_to_string(roots.sys.join("kernel/uevent_seqnum")).ok()?.trim().parse().ok()
}

fn lock(file: &File, disk: &Disk, claim: Claim) -> Result<()> {
    let path = disk.path.display();
    let operation = match claim {
        Claim::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Claim::Shared => FlockOperation::NonBlockingLockShared,
    };
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(Failure::Refused.error(format!(
                    "another program holds the lock of {path}; wait for it to end, or see `fuser {path}`"
                )));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).with_context(|| format!("locking {path}")),
        }
    }
}

fn explain(roots: &Roots, disk: &Disk, claim: Claim, error: std::io::Error) -> anyhow::Error {
    let path = disk.path.display();
    let used = if claim == Claim::Exclusive { "written" } else { "read" };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => Failure::Refused.error(format!("{path} is in use: {}", culprit(roots, disk))),
        Some(Errno::ACCESS | Errno::PERM) => {
            Failure::Permission.error(format!("{path} may not be {used} by this user; run as root"))
        }
        Some(Errno::ROFS) => Failure::Refused.error(format!("{path} is read-only")),
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM) => {
            Failure::Io.error(format!("{path} is gone; insert the card again"))
        }
        _ => anyhow::Error::new(error).context(format!("opening {path}")),
    }
}

/// Who uses the disk now, as far as this process can see.
fn culprit(roots: &Roots, disk: &Disk) -> String {
    let now =
        disk.number.map_or_else(|| Disk::load(roots, &disk.path), |number| Disk::by_number(roots, number));
    let now = now.unwrap_or_else(|_| Disk { uses: Vec::new(), ..disk.clone() });
    let words = now.uses.iter().map(ToString::to_string).collect::<Vec<_>>();
    if !words.is_empty() {
        return format!("{}; end that first", words.join(", "));
    }
    if let Some(member) = now.partitions.iter().find_map(member) {
        return format!("it is {member}; take it out of there first");
    }
    let hidden = "a mount in a container or another namespace, a lazily unmounted filesystem, \
        a ZFS pool, or a program that claims the disk";
    format!("{hidden}; end that first")
}

/// What a partition is part of by the words of udev, which knows what neither mounts nor sysfs tell.
fn member(part: &Partition) -> Option<String> {
    let fstype = part.fstype.as_deref()?;
    let whole = fstype.strip_suffix("_member").or(Some(fstype).filter(|name| *name == "bcache"))?;
    let label = part.label.as_ref().map(|label| format!(" called {label}")).unwrap_or_default();
    Some(format!("part of a {whole}{label}"))
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    fn opened(disk: &Disk) -> (String, Failure) {
        let error = open_exclusive(&Roots::default(), disk).unwrap_err();
        (error.to_string(), crate::base::failure::kind(&error))
    }

    /// A virtual card of 1 MiB.
    fn file() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("card");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let disk = Disk::load(&Roots::default(), &path).unwrap();
        (dir, disk)
    }

    #[test]
    fn nothing_is_created_and_nothing_else_is_taken_for_a_disk() {
        let (_dir, disk) = file();
        std::fs::remove_file(&disk.path).unwrap();
        let words = format!("{} is gone; insert the card again", disk.path.display());
        assert_eq!(opened(&disk), (words, Failure::Io));
        assert!(!disk.path.exists());
        let null = Disk { path: "/dev/null".into(), ..disk };
        assert_eq!(
            opened(&null),
            ("/dev/null is not a disk any more; start again".to_owned(), Failure::Refused)
        );
    }

    #[test]
    fn a_file_is_known_by_its_descriptor() {
        let (_dir, disk) = file();
        let locked = open_exclusive(&Roots::default(), &disk).unwrap();
        locked.check().unwrap();
        // Another file under the same name does not matter; another size of this one does.
        std::fs::remove_file(&disk.path).unwrap();
        File::create(&disk.path).unwrap();
        locked.check().unwrap();
        assert!(opened(&disk).0.contains("is not the card that was confirmed"));
        locked.file().set_len(512).unwrap();
        let words = format!(
            "{} is not the card that was confirmed: its size was 1048576 and is 512; start again",
            disk.path.display()
        );
        assert_eq!(locked.check().unwrap_err().to_string(), words);
    }

    /// The kernel gives no claim to a file.
    #[test]
    fn a_file_that_was_attached_and_mounted_after_all() {
        let (machine, (_dir, disk)) = (FakeMachine::new(), file());
        let locked = open_exclusive(&machine.roots(), &disk).unwrap();
        machine.device("virtual/block/loop3", "7:3", &[("loop/backing_file", disk.path.to_str().unwrap())]);
        machine.mount("7:3", "/mnt", "ext4", "/dev/loop3");
        let words = format!(
            "{} is in use: card is mounted at /mnt through loop3; unmount it first: umount /mnt",
            disk.path.display()
        );
        assert_eq!(locked.check().unwrap_err().to_string(), words);
        drop(locked);
        assert_eq!(open_exclusive(&machine.roots(), &disk).unwrap_err().to_string(), words);
    }

    #[test]
    fn readers_share_a_card_and_writers_do_not() {
        let (_dir, disk) = file();
        std::fs::set_permissions(&disk.path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        let disk = Disk { read_only: true, ..disk };
        let one = open_shared(&Roots::default(), &disk).unwrap();
        let other = open_shared(&Roots::default(), &disk).unwrap();
        one.check().and_then(|()| other.check()).unwrap();
        let writer = flock(other.file(), FlockOperation::NonBlockingLockExclusive);
        assert_eq!(writer, Err(Errno::WOULDBLOCK));
    }

    #[test]
    fn who_has_it() {
        let machine = FakeMachine::new();
        let (roots, disk) = (machine.with_stick().roots(), machine.disk("sdb"));
        assert!(culprit(&roots, &disk).starts_with("a mount in a container or another namespace, "));
        machine.file("run/udev/data/b8:17", "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n");
        assert_eq!(culprit(&roots, &disk), "it is part of a zfs called tank; take it out of there first");
        machine.mount("8:17", "/media/me/CARD", "vfat", "/dev/sdb1");
        assert_eq!(culprit(&roots, &disk), "sdb1 is mounted at /media/me/CARD; end that first");
    }
}
