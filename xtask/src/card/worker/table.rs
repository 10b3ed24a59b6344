//! After a flash the kernel is told of the new partition table, so that nobody mounts a partition of the old one.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::thread::sleep;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::base::hardening::trusted_program;
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};
use crate::card::disk::{Disk, Number, Roots};
use crate::card::inspect::PartitionTable;

/// udev tells the kernel too, once the card is closed, and has it for itself then.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Has the kernel read the partition table of the card `view` anew, which nobody claims any more; `layout` is what is on it
/// now. Where that fails, the partitions that the kernel still knows are removed.
pub fn announce(view: &File, layout: Option<&PartitionTable>, reporter: &dyn Reporter) {
    let Some(number) = view.metadata().ok().filter(|facts| facts.file_type().is_block_device()) else {
        return;
    };
    let (roots, number) = (Roots::default(), Number::from_raw(number.rdev()));
    // A child opens it by this name.
    let _ = fcntl_setfd(view, FdFlags::empty());
    let card = format!("/proc/self/fd/{}", view.as_raw_fd());
    for _ in 0..ATTEMPTS {
        if run("blockdev", &["--rereadpt", &card]) {
            return;
        }
        match Disk::by_number(&roots, number) {
            Ok(disk) if is_behind(&disk, layout) => sleep(PAUSE),
            _ => return,
        }
    }
    let Ok(disk) = Disk::by_number(&roots, number) else { return };
    let path = disk.path.display().to_string();
    // Without the old ones there is nothing that is mounted by mistake.
    if has_stale(&disk, layout) && !run("partx", &["--delete", &path]) {
        reporter.report(&Event::warning(format!(
            "the kernel keeps the old partitions of {path}; pull the card out and insert it again before anything of it \
             is mounted"
        )));
    }
}

/// Whether the kernel should know other partitions of `disk` than it does. It has none of a loop device that was attached
/// without them.
fn is_behind(disk: &Disk, layout: Option<&PartitionTable>) -> bool {
    let meant = layout.map_or(0, |layout| layout.partitions.len());
    let known = disk.partitions.iter().filter(|part| part.name.is_some()).count();
    has_stale(disk, layout) || known < meant && !disk.kind.is_virtual()
}

/// Whether the kernel knows a partition that is none of `layout`.
fn has_stale(disk: &Disk, layout: Option<&PartitionTable>) -> bool {
    let meant = layout.map(|layout| layout.partitions.as_slice()).unwrap_or_default();
    let mut known = disk.partitions.iter().filter(|part| part.name.is_some());
    known.any(|part| {
        !meant.iter().any(|own| (own.number, own.start, own.size) == (part.number, part.start, part.size))
    })
}

fn run(name: &str, args: &[&str]) -> bool {
    let program = trusted_program(name).map(|program| program.display().to_string());
    program.is_some_and(|program| {
        Launcher::clean("/").capture(&program, args).is_ok_and(|output| output.success())
    })
}
