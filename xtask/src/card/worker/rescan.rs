//! After a flash, the kernel reads the new partition table, so that nobody mounts a partition of the old one.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::thread::sleep;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::base::hardening::trusted_program;
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};
use crate::card::disk::{DeviceNumber, Disk, Roots};
use crate::card::inspect::{Partition, PartitionTable};

/// How often the rescan is tried: once the card is closed, udev rescans it too, and holds the card meanwhile.
const ATTEMPTS: u32 = 10;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the kernel reread the partition table of the card `view`, which nobody claims any more; `layout` is the table
/// on the card, if it has one. Where the kernel does not reread the table, removes the old partitions that the kernel
/// still knows, and warns where that fails too.
pub fn rescan_partitions(view: &File, layout: Option<&PartitionTable>, reporter: &dyn Reporter) {
    let Some(metadata) = view.metadata().ok().filter(|metadata| metadata.file_type().is_block_device())
    else {
        return;
    };
    let roots = Roots::default();
    let number = DeviceNumber::from_raw(metadata.rdev());
    // The child opens the card by this path, so it must inherit the descriptor.
    let _ = fcntl_setfd(view, FdFlags::empty());
    let card = format!("/proc/self/fd/{}", view.as_raw_fd());
    for _ in 0..ATTEMPTS {
        if run_trusted("blockdev", &["--rereadpt", &card]) {
            return;
        }
        match Disk::by_number(&roots, number) {
            Ok(disk) if knows_other_partitions(&disk, layout) => sleep(PAUSE),
            _ => return,
        }
    }
    let Ok(disk) = Disk::by_number(&roots, number) else { return };
    let path = disk.path.display().to_string();
    // Without the old partitions, nobody can mount one by mistake.
    if has_stale_partition(&disk, layout) && !run_trusted("partx", &["--delete", &path]) {
        reporter.report(&Event::warning(format!(
            "the kernel keeps the old partitions of {path}; pull the card out and insert it again before you mount any \
             of them"
        )));
    }
}

/// Whether the kernel knows other partitions of `disk` than those of `layout`, or fewer. Of a loop device that was
/// attached without partitions, the kernel knows none, which is right.
fn knows_other_partitions(disk: &Disk, layout: Option<&PartitionTable>) -> bool {
    let expected = layout.map_or(0, |layout| layout.partitions.len());
    let known = disk.partitions.iter().filter(|part| part.name.is_some()).count();
    has_stale_partition(disk, layout) || known < expected && !disk.kind.is_virtual()
}

/// Whether the kernel knows a partition of `disk` that is not in `layout`.
fn has_stale_partition(disk: &Disk, layout: Option<&PartitionTable>) -> bool {
    let expected = layout.map(|layout| layout.partitions.as_slice()).unwrap_or_default();
    let mut known = disk.partitions.iter().filter(|part| part.name.is_some());
    known.any(|part| {
        let is_same =
            |new: &Partition| (new.number, new.start, new.size) == (part.number, part.start, part.size);
        !expected.iter().any(is_same)
    })
}

/// Runs the system's program `name`, and returns whether it succeeded.
fn run_trusted(name: &str, args: &[&str]) -> bool {
    let program = trusted_program(name).map(|program| program.display().to_string());
    program.is_some_and(|program| {
        Launcher::with_clean_env("/").capture(&program, args).is_ok_and(|output| output.success())
    })
}
