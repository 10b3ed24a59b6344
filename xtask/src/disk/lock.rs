//! Opening a disk for nobody else: the kernel's exclusive claim against mounts and swap, and a lock
//! that keeps udev and automounters away.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::{Disk, Kind, Number, Roots};
use crate::failure::Kind as Failure;

/// udev locks a disk while it probes it, for some milliseconds; who holds it longer means it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A disk that is open for reading and writing, claimed and locked until this is dropped.
#[derive(Debug)]
pub struct Locked {
    file: File,
    path: PathBuf,
}

/// Opens and locks `disk`, which is never created, and makes sure that what is open is the disk that
/// was confirmed. `EBUSY` is final and its reason is told.
pub fn open_exclusive(roots: &Roots, disk: &Disk) -> Result<Locked> {
    let virtual_card = matches!(disk.kind, Kind::File { .. });
    let claim = if virtual_card { OFlags::empty() } else { OFlags::EXCL };
    let flags = (claim | OFlags::CLOEXEC).bits();
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags.cast_signed()).open(&disk.path);
    let file = opened.map_err(|error| explain(roots, disk, error))?;
    lock(&file, disk)?;
    let locked = Locked { file, path: disk.path.clone() };
    disk.same_as(&locked.disk(roots)?)?;
    Ok(locked)
}

impl Locked {
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The disk that is open, looked up anew by its device number and not by its path.
    fn disk(&self, roots: &Roots) -> Result<Disk> {
        let doing = || format!("looking at {}", self.path.display());
        let stat = self.file.metadata().with_context(doing)?;
        let disk = if stat.is_file() {
            Disk::load(roots, &self.path)?
        } else {
            Disk::by_number(roots, Number::from_raw(stat.rdev()))?
        };
        let size = (&self.file).seek(SeekFrom::End(0)).with_context(doing)?;
        Ok(Disk { size, ..disk })
    }
}

fn lock(file: &File, disk: &Disk) -> Result<()> {
    let path = disk.path.display();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
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

fn explain(roots: &Roots, disk: &Disk, error: std::io::Error) -> anyhow::Error {
    let path = disk.path.display();
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => Failure::Refused.error(format!("{path} is in use: {}", culprit(roots, disk))),
        Some(Errno::ACCESS | Errno::PERM) => {
            Failure::Permission.error(format!("{path} may not be written by this user; run as root"))
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
    let uses = Disk::load(roots, &disk.path).map(|disk| disk.uses).unwrap_or_default();
    let words = uses.iter().map(ToString::to_string).collect::<Vec<_>>();
    if words.is_empty() {
        let hidden = "a mount in a container or another namespace, a lazily unmounted filesystem, \
            a ZFS pool, or a program that claims the disk";
        return format!("{hidden}; end that first");
    }
    format!("{}; end that first", words.join(", "))
}
