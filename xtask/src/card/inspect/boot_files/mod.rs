//! The boot files of a card, read from its file systems: their labels, and the files that U-Boot starts, with the
//! memory for them.

mod volume;

use std::fs::File;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::budget::{Budget, LimitedRegion};
use super::ext4::{Ext4, Inode};
use super::extlinux;
use super::fat::Fat;
use super::partition::Partition;
use super::partition_table::{HEAD, PartitionTable};
use crate::base::failure::{ExitKind, kind};
use crate::boot::{self, Kernel, Trial, UBoot};
use crate::{bail, failure};
use volume::{EXT4, volumes};

pub use volume::{Filesystem, Volume, identify_filesystem};

/// A card that can start a system from its bootable partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFiles {
    pub volumes: Vec<Volume>,
    pub boot: Boot,
    /// The U-Boot programs that the firmware of a Pi starts, as far as FIRMWARE has them.
    pub uboots: Vec<UBoot>,
    /// Whether the next boot may try another system.
    pub trial: Trial,
}

/// The files that U-Boot starts by default. All of them exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub kernel: String,
    pub initrd: String,
    /// The first program of the system, in /nix/store.
    pub init: String,
    /// The number of store paths on the card.
    pub store_paths: usize,
}

/// The folders of the bootable partition that may be the Nix store.
const STORES: [&str; 2] = ["/store", "/nix/store"];

/// The menu that U-Boot reads on the bootable partition.
const CONFIG: &str = "/boot/extlinux/extlinux.conf";

/// The size of the largest menu, in bytes.
const MAX_MENU: u64 = 1 << 20;

/// The length of the longest path in a menu, in bytes.
const MAX_PATH: usize = 4096;

/// Reads the boot files of the card (or the decompressed image) `disk` with this `layout`. Partitions that U-Boot does
/// not read may have any content.
///
/// # Errors
/// Every fault that prevents the card from booting, and a card that cannot be read.
pub(super) fn boot_files(disk: &File, layout: &PartitionTable, budget: &Budget) -> Result<BootFiles> {
    let marked = layout.partitions.iter().filter(|partition| partition.bootable).collect::<Vec<_>>();
    let first = boot::first_marked(&marked)?;
    marked.iter().try_for_each(|partition| refuse_overlap(partition, layout))?;
    let volumes = volumes(disk, layout, budget)?;
    // U-Boot scans all that are marked, in their order: FIRMWARE may have a script, and no menu.
    let bootable = marked.iter().find(|partition| has_ext4(&volumes, partition.number)).unwrap_or(first);
    refuse_without_menu(&volumes, bootable.number)?;
    let doing = || format!("reading the file system on partition {}", bootable.number);
    let root = Ext4::open(disk, bootable.start, bootable.size, budget.clone()).with_context(doing)?;
    let (boot, kernel) = boot(&root).with_context(doing)?;
    let kernel = KernelFile { path: &boot.kernel, inode: &kernel, root: &root };
    let uboots = uboots(disk, &volumes, &kernel, budget)?;
    let trial = trial(disk, &volumes, budget)?;
    Ok(BootFiles { volumes, boot, uboots, trial })
}

/// What U-Boot makes of the files of a trial on FIRMWARE, which is the first partition with FAT.
///
/// # Errors
/// `Interrupted`. U-Boot starts the default where it cannot read the files.
fn trial<'a>(disk: &'a File, volumes: &[Volume], budget: &Budget<'a>) -> Result<Trial> {
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else { return Ok(Trial::Absent) };
    let read = |name| {
        let content = fat(disk, volume, budget).and_then(|firmware| firmware.read(name));
        content.with_context(|| format!("reading {name}"))
    };
    match read(boot::SCRIPT).and_then(|script| Ok((script, read(boot::FLAG)?))) {
        Ok((script, flag)) => Ok(Trial::of(script.as_deref(), flag.as_deref(), volume.partition.bootable)),
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        Err(error) => Ok(Trial::Impossible { why: format!("{error:#}") }),
    }
}

/// Fails where another partition overlaps `bootable`.
fn refuse_overlap(bootable: &Partition, layout: &PartitionTable) -> Result<()> {
    let mut others = layout.partitions.iter().filter(|other| other.number != bootable.number);
    let Some(other) = others.find(|it| it.start < bootable.end() && bootable.start < it.end()) else {
        return Ok(());
    };
    bail!(
        Verification,
        "partitions {} and {} overlap: a write to one changes the other",
        bootable.number,
        other.number
    )
}

/// The content of the file `name` on the FIRMWARE of a card; `None` where there is no such file.
///
/// # Errors
/// A card that cannot be read.
pub fn firmware_file(disk: &File, name: &str) -> Result<Option<Vec<u8>>> {
    let size = disk.metadata().context("reading the size of the card")?.len();
    let budget = Budget::without_stop();
    let layout = PartitionTable::parse(&read(disk, 0, HEAD.min(size), &budget)?, size)?;
    let volumes = volumes(disk, &layout, &budget)?;
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else { return Ok(None) };
    fat(disk, volume, &budget)?.read(name)
}

fn fat<'a>(disk: &'a File, volume: &Volume, budget: &Budget<'a>) -> Result<Fat<'a>> {
    Fat::open(LimitedRegion::new(disk, volume.partition.start, volume.partition.size, budget.clone()))
}

fn has_ext4(volumes: &[Volume], number: u32) -> bool {
    volumes.iter().any(|volume| volume.partition.number == number && volume.filesystem == EXT4)
}

/// Fails where the partition with the number `bootable` cannot have a menu for U-Boot.
fn refuse_without_menu(volumes: &[Volume], bootable: u32) -> Result<()> {
    let marked = volumes.iter().find(|volume| volume.partition.number == bootable);
    let Some(Volume { filesystem, label, .. }) = marked else {
        bail!(Verification, "partition {bootable} is marked bootable, but has no ext4");
    };
    if filesystem == EXT4 {
        return Ok(());
    }
    let error = format!(
        "partition {bootable} ({label}, {filesystem}) is marked bootable, so U-Boot looks for its menu there"
    );
    match volumes.iter().find(|volume| volume.filesystem == EXT4) {
        Some(Volume { partition, label, .. }) => bail!(
            Verification,
            "{error}";
            hint: "run `sfdisk --activate DEVICE {0}` to mark partition {0} ({label})",
            partition.number
        ),
        None => bail!(Verification, "{error}"),
    }
}

/// The file of the kernel that U-Boot starts.
struct KernelFile<'a> {
    path: &'a str,
    inode: &'a Inode,
    root: &'a Ext4<'a>,
}

/// The U-Boot programs on the partition that the firmware of a Pi reads, the first with FAT32 or FAT16. Fails where one
/// of them has no room for `kernel`.
fn uboots<'a>(
    disk: &'a File,
    volumes: &[Volume],
    kernel: &KernelFile,
    budget: &Budget<'a>,
) -> Result<Vec<UBoot>> {
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else {
        bail!(Verification, "no partition has FAT32 or FAT16, from which every Pi reads its firmware");
    };
    let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
    let firmware = fat(disk, volume, budget).with_context(doing)?;
    let programs = boot::uboot_programs(&firmware).with_context(doing)?;
    let head = kernel.root.beginning(kernel.inode, boot::MAX_KERNEL_READ);
    let header =
        head.and_then(|head| Kernel::read(&head[..])).with_context(|| format!("reading {}", kernel.path))?;
    boot::uboots_with_room(programs, header)
}

/// Reads `count` bytes of the card from byte `start` on.
pub(super) fn read(disk: &File, start: u64, count: u64, budget: &Budget) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(count)?];
    LimitedRegion::new(disk, start, count, budget.clone()).read(0, &mut bytes)?;
    Ok(bytes)
}

/// The files that U-Boot starts, and the inode of the kernel.
fn boot(root: &Ext4) -> Result<(Boot, Inode)> {
    let config = menu(root).with_context(|| format!("reading {CONFIG}"))?;
    let entry = extlinux::default_entry(&config).map_err(|error| error.in_file(CONFIG))?;
    let (store, store_paths) = store(root)?;
    check_init(root, store, &entry.init)?;
    let (inode, kernel) = find_file(root, &entry.kernel)?;
    let (_, initrd) = find_file(root, &entry.initrd)?;
    if let Some(tree) = &entry.device_tree {
        find_file(root, tree)?;
    }
    Ok((Boot { kernel, initrd, init: entry.init, store_paths }, inode))
}

/// Fails where the program `init`, a path in /nix/store, is not in the folder `store`.
fn check_init(root: &Ext4, store: &str, init: &str) -> Result<()> {
    if init.len() > MAX_PATH {
        bail!(Verification, "{CONFIG} names an init with a path of {} bytes", init.len());
    }
    let in_store = init.strip_prefix("/nix/store").map(|rest| format!("{store}{rest}"));
    let found = root.find_itself(in_store.as_deref().unwrap_or(init));
    // The init may be a link into the store of the running system.
    let filled = found.and_then(|found| match found {
        Some(found) if found.is_link() => Ok(()),
        Some(found) => check_filled(&found),
        None => Err(absent_error()),
    });
    filled.with_context(|| format!("finding {init}"))
}

/// The folder of the store, and the number of its paths. `NIXOS_SD` is mounted at /nix on the host, so that its /store
/// is /nix/store there. In other images the partition is the root, with the store in /nix/store.
fn store(root: &Ext4) -> Result<(&'static str, usize)> {
    for store in STORES {
        let doing = || format!("reading {store}");
        if let Some(found) = root.find(store).with_context(doing)? {
            return Ok((store, root.count(&found).with_context(doing)?));
        }
    }
    Err(absent_error()).with_context(|| format!("reading {}", STORES[0]))
}

/// The content of [`CONFIG`].
fn menu(root: &Ext4) -> Result<String> {
    let found = root.find(CONFIG)?.ok_or_else(absent_error)?;
    check_filled(&found)?;
    if found.size > MAX_MENU {
        bail!(Verification, "the menu has {} bytes, more than the limit of {MAX_MENU} bytes", found.size);
    }
    String::from_utf8(root.content(&found, MAX_MENU)?)
        .map_err(|_| failure!(Verification, "the menu is not UTF-8"))
}

/// Finds the file that [`CONFIG`] names: its inode and its full path.
fn find_file(root: &Ext4, named: &str) -> Result<(Inode, String)> {
    if named.len() > MAX_PATH {
        bail!(Verification, "{CONFIG} names a file with a path of {} bytes", named.len());
    }
    let path = if named.starts_with('/') { named.to_owned() } else { format!("/boot/extlinux/{named}") };
    let found = root.resolve(&path).and_then(|found| found.ok_or_else(absent_error));
    let checked = found.and_then(|found| check_filled(&found.0).map(|()| found));
    checked.with_context(|| format!("finding {path}"))
}

/// Fails where `inode` is not a file, or an empty one, which cannot be started.
fn check_filled(inode: &Inode) -> Result<()> {
    match (inode.is_file(), inode.size) {
        (true, 1..) => Ok(()),
        (true, _) => bail!(Verification, "the file is empty"),
        (false, _) => bail!(Verification, "not a regular file"),
    }
}

fn absent_error() -> anyhow::Error {
    failure!(Verification, "file not found")
}

#[cfg(test)]
mod tests;
