//! Opening and locking a disk. For writing: with the kernel's exclusive claim against mounts and swap, and a lock that
//! keeps udev and automounters away. For reading: with a lock that is shared with other readers.

mod busy;

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::backing::InodeId;
use super::refusal::refuse;
use super::refusals::worker_refusals;
use super::usage::Usage;
use super::{DeviceNumber, Disk, DiskKind, Roots, open_files};
use crate::{bail, failure};

/// The longest wait for the end of another lock of the disk: udev locks a disk for some milliseconds while it probes
/// it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for other writers of the disk, which may be about to close it.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// A disk that is open and locked until the `Locked` is dropped.
#[derive(Debug)]
pub struct Locked {
    file: File,
    claim: Claim,
    roots: Roots,
    /// The disk as it was confirmed.
    disk: Disk,
    /// The kernel's count of device events when [`Locked::check_after_events`] last found all in order; `None` before
    /// that, and where the kernel has no such count.
    events: Mutex<Option<u64>>,
}

/// The access for which a disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Reading and writing, while no other process uses the disk.
    Exclusive,
    /// Reading, also while the disk is mounted, but not while a worker writes it.
    Shared,
}

/// Opens and locks `disk` for writing. Creates no file, and fails where the opened disk is not the one that was
/// confirmed. `EBUSY` is not retried; its error names the user of the disk.
pub fn open_exclusive(roots: &Roots, disk: &Disk) -> Result<Locked> {
    open(roots, disk, Claim::Exclusive)
}

/// Opens and locks `disk` for reading. Fails where the opened disk is not the one that was inspected.
pub fn open_shared(roots: &Roots, disk: &Disk) -> Result<Locked> {
    open(roots, disk, Claim::Shared)
}

/// Takes over `file`, which another process has opened and locked with [`open_exclusive`].
pub fn adopt_exclusive(roots: &Roots, disk: &Disk, file: File) -> Result<Locked> {
    Locked::from_file(roots, disk, file, Claim::Exclusive)
}

/// Takes over `file`, which another process has opened and locked with [`open_shared`].
pub fn adopt_shared(roots: &Roots, disk: &Disk, file: File) -> Result<Locked> {
    Locked::from_file(roots, disk, file, Claim::Shared)
}

/// Opens and locks `disk` for the access of `claim`, and checks that it is the disk that was confirmed.
fn open(roots: &Roots, disk: &Disk, claim: Claim) -> Result<Locked> {
    let is_exclusive = claim == Claim::Exclusive;
    let is_file = matches!(disk.kind, DiskKind::File { .. });
    // For a plain file, the kernel has no exclusive claim.
    let claim_flag = if is_exclusive && !is_file { OFlags::EXCL } else { OFlags::empty() };
    let flags = (claim_flag | OFlags::CLOEXEC).bits().cast_signed();
    let opened = OpenOptions::new().read(true).write(is_exclusive).custom_flags(flags).open(&disk.path);
    let file = opened.map_err(|error| busy::open_error(roots, disk, claim, error))?;
    lock(roots, &file, disk, claim)?;
    let locked = Locked::from_file(roots, disk, file, claim)?;
    if is_exclusive {
        wait_for_writers(roots, disk)?;
    }
    Ok(locked)
}

/// Waits until no other process has `disk` open for writing, and fails after [`WRITER_TIMEOUT`].
fn wait_for_writers(roots: &Roots, disk: &Disk) -> Result<()> {
    let deadline = Instant::now() + WRITER_TIMEOUT;
    loop {
        let writers = open_files::writers(roots, disk);
        if writers.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let path = disk.path.display();
            let hint = open_files::end_hint(&writers);
            let writers = open_files::titles(&writers);
            bail!(Refused(InUse), "{path} is open for writing in {writers}"; hint: "{hint}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Locked {
    /// Makes a `Locked` of `disk`, which is open and locked as `file`. Fails where the first [`Self::check`] fails.
    fn from_file(roots: &Roots, disk: &Disk, file: File, claim: Claim) -> Result<Self> {
        let locked = Self { file, claim, roots: roots.clone(), disk: disk.clone(), events: Mutex::new(None) };
        locked.check()?;
        Ok(locked)
    }

    /// The open disk.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Fails where the open disk is not, or no longer, the disk that was confirmed. A disk that is open for writing
    /// must also pass [`worker_refusals`], whatever the caller has checked before. Called again before each write that
    /// matters.
    pub fn check(&self) -> Result<()> {
        let now = self.current_disk()?;
        self.disk.require_same(&now)?;
        match self.claim {
            Claim::Exclusive => refuse(&worker_refusals(&now)),
            Claim::Shared => Ok(()),
        }
    }

    /// Calls [`Self::check`] the first time, and if any device of the machine was added, removed or changed since the
    /// last check: attaching a loop device to the disk and changing the size of the disk count too. Without a count of
    /// events, always checks.
    pub fn check_after_events(&self) -> Result<()> {
        let now = device_events(&self.roots);
        let mut last = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none() || now != *last {
            self.check()?;
            *last = now;
        }
        Ok(())
    }

    /// The open disk as it is now, found by the descriptor: a block device by its device number, a plain file and its
    /// uses by the file system and the inode. The file may have another path by now.
    pub fn current_disk(&self) -> Result<Disk> {
        let path = self.disk.path.display();
        let inspecting = || format!("inspecting {path}");
        let stat = self.file.metadata().with_context(inspecting)?;
        let size = (&self.file).seek(SeekFrom::End(0)).with_context(inspecting)?;
        if stat.is_file() {
            let kind = DiskKind::File { device: stat.dev(), inode: stat.ino() };
            let read_only = stat.permissions().readonly();
            let id = InodeId::from_metadata(&stat);
            let uses = Usage::load(&self.roots).uses_of_file(&self.roots, &self.disk.path, Some(id));
            return Ok(Disk { size, kind, number: None, read_only, uses, ..self.disk.clone() });
        }
        if !stat.file_type().is_block_device() {
            bail!(Refused(NotExpected), "{path} is no longer a disk"; hint: "run the command again");
        }
        let sector_size = rustix::fs::ioctl_blksszget(&self.file).with_context(inspecting)?;
        let gone_error = |_| failure!(Io, "{path} is gone"; hint: "was it unplugged? insert the card again");
        let disk = Disk::by_number(&self.roots, DeviceNumber::from_raw(stat.rdev())).map_err(gone_error)?;
        Ok(Disk { size, sector_size, ..disk })
    }
}

/// The number of device events that the kernel has sent so far; `None` where sysfs does not have this number.
fn device_events(roots: &Roots) -> Option<u64> {
    std::fs::read_to_string(roots.sys.join("kernel/uevent_seqnum")).ok()?.trim().parse().ok()
}

/// Locks `file`, the open `disk`, and fails where another program holds the lock for longer than [`LOCK_TIMEOUT`].
fn lock(roots: &Roots, file: &File, disk: &Disk, claim: Claim) -> Result<()> {
    let operation = match claim {
        Claim::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Claim::Shared => FlockOperation::NonBlockingLockShared,
    };
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => return Err(busy::locked_error(roots, disk)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).with_context(|| format!("locking {}", disk.path.display())),
        }
    }
}

#[cfg(test)]
mod tests;
