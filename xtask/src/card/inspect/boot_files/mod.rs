//! The boot files of a card, read from its file systems: their labels, the files that U-Boot starts, the U-Boot
//! programs, which must have room for the kernel, and the trial of another system.

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

/// The boot files of a card that can start a system from its bootable partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFiles {
    pub volumes: Vec<Volume>,
    pub boot: Boot,
    /// The U-Boot programs on FIRMWARE that the firmware of a Pi starts.
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
const STORES: &[&str] = &["/store", "/nix/store"];

/// The menu that U-Boot reads on the bootable partition.
const MENU: &str = "/boot/extlinux/extlinux.conf";

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
    // U-Boot scans all marked partitions in order. FIRMWARE may be marked for a script, and have no menu.
    let bootable = marked.iter().find(|partition| has_ext4(&volumes, partition.number)).unwrap_or(first);
    refuse_without_menu(&volumes, bootable)?;
    let doing = || format!("reading the file system on partition {}", bootable.number);
    let root = Ext4::open(disk, bootable.start, bootable.size, budget.clone()).with_context(doing)?;
    let (boot, kernel_inode) = read_boot(&root).with_context(doing)?;
    let kernel = KernelFile { path: &boot.kernel, inode: &kernel_inode, root: &root };
    let uboots = find_uboots(disk, &volumes, &kernel, budget)?;
    let trial = find_trial(disk, &volumes, budget)?;
    Ok(BootFiles { volumes, boot, uboots, trial })
}

/// What U-Boot does with the files of a trial on FIRMWARE, the first partition with FAT. Where they cannot be read, the
/// trial is [`Trial::Impossible`]: U-Boot then starts the default of the boot menu.
///
/// # Errors
/// `Interrupted`.
fn find_trial<'a>(disk: &'a File, volumes: &[Volume], budget: &Budget<'a>) -> Result<Trial> {
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else { return Ok(Trial::Absent) };
    match read_trial(disk, volume, budget) {
        Err(error) if kind(&error) != ExitKind::Interrupted => {
            Ok(Trial::Impossible { why: format!("{error:#}") })
        }
        read => read,
    }
}

/// Reads the trial from its files on `volume`, which is FIRMWARE.
fn read_trial<'a>(disk: &'a File, volume: &Volume, budget: &Budget<'a>) -> Result<Trial> {
    let read = |name| {
        let content = open_fat(disk, volume, budget).and_then(|firmware| firmware.read(name));
        content.with_context(|| format!("reading {name}"))
    };
    let script = read(boot::TRIAL_SCRIPT)?;
    let flag = read(boot::TRIAL_FLAG)?;
    Ok(Trial::of(script.as_deref(), flag.as_deref(), volume.partition.bootable))
}

/// Fails where another partition overlaps `bootable`.
fn refuse_overlap(bootable: &Partition, layout: &PartitionTable) -> Result<()> {
    let mut others = layout.partitions.iter().filter(|other| other.number != bootable.number);
    let overlaps = |other: &&Partition| other.start < bootable.end() && bootable.start < other.end();
    let Some(other) = others.find(overlaps) else {
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
    open_fat(disk, volume, &budget)?.read(name)
}

/// Opens the FAT file system of `volume`.
fn open_fat<'a>(disk: &'a File, volume: &Volume, budget: &Budget<'a>) -> Result<Fat<'a>> {
    Fat::open(LimitedRegion::new(disk, volume.partition.start, volume.partition.size, budget.clone()))
}

/// Whether partition `number` has ext4.
fn has_ext4(volumes: &[Volume], number: u32) -> bool {
    volumes.iter().any(|volume| volume.partition.number == number && volume.filesystem == EXT4)
}

/// Fails where `marked`, a partition that is marked bootable, cannot have a menu for U-Boot.
fn refuse_without_menu(volumes: &[Volume], marked: &Partition) -> Result<()> {
    let number = marked.number;
    let bootable = volumes.iter().find(|volume| volume.partition.number == number);
    let Some(Volume { filesystem, label, .. }) = bootable else {
        bail!(Verification, "partition {number} is marked bootable, but has no ext4");
    };
    if filesystem == EXT4 {
        return Ok(());
    }
    let error = format!(
        "partition {number} ({label}, {filesystem}) is marked bootable, so U-Boot looks for its menu there, not on ext4"
    );
    match volumes.iter().find(|volume| volume.filesystem == EXT4) {
        Some(Volume { partition, label, .. }) => bail!(
            Verification,
            "{error}";
            hint: "run `{}` to mark partition {} ({label})",
            boot::mark_command("DEVICE", marked.is_in_gpt(), &[], partition.number), partition.number
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
fn find_uboots<'a>(
    disk: &'a File,
    volumes: &[Volume],
    kernel: &KernelFile,
    budget: &Budget<'a>,
) -> Result<Vec<UBoot>> {
    let Some(volume) = volumes.iter().find(|volume| volume.is_fat()) else {
        bail!(Verification, "no partition has FAT32 or FAT16, from which every Pi reads its firmware");
    };
    let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
    let firmware = open_fat(disk, volume, budget).with_context(doing)?;
    let programs = boot::uboot_programs(&firmware).with_context(doing)?;
    let head = kernel.root.beginning(kernel.inode, boot::MAX_KERNEL_READ);
    let header = head.and_then(|head| Kernel::read(&head[..]));
    let header = header.with_context(|| format!("reading {}", kernel.path))?;
    boot::uboots_with_room(programs, header)
}

/// Reads `count` bytes of the card from byte `start` on.
pub(super) fn read(disk: &File, start: u64, count: u64, budget: &Budget) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(count)?];
    LimitedRegion::new(disk, start, count, budget.clone()).read(0, &mut bytes)?;
    Ok(bytes)
}

/// The files that U-Boot starts, and the inode of the kernel. Fails where a file that the menu names is missing or
/// empty.
fn read_boot(root: &Ext4) -> Result<(Boot, Inode)> {
    let menu = read_menu(root).with_context(|| format!("reading {MENU}"))?;
    let entry = extlinux::default_entry(&menu).map_err(|error| error.into_error(MENU))?;
    let (store, store_paths) = find_store(root)?;
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
        bail!(
            Verification,
            "{MENU} names an init with a path of {} bytes, more than the limit of {MAX_PATH} bytes",
            init.len()
        );
    }
    let in_store = init.strip_prefix("/nix/store").map(|rest| format!("{store}{rest}"));
    let path = in_store.as_deref().unwrap_or(init);
    check_program(root, path).with_context(|| format!("finding {init}"))
}

/// Fails where the program at `path` does not exist or cannot be started. A link is not followed: it may lead into the
/// store of the running system.
fn check_program(root: &Ext4, path: &str) -> Result<()> {
    let inode = root.find_itself(path)?.ok_or_else(absent_error)?;
    if inode.is_link() { Ok(()) } else { check_filled(&inode) }
}

/// The folder of the store, and the number of its paths. `NIXOS_SD` is mounted at /nix on the host, so that its /store
/// is /nix/store there. In other images the partition is the root, with the store in /nix/store.
fn find_store(root: &Ext4) -> Result<(&'static str, usize)> {
    for store in STORES {
        let doing = || format!("reading {store}");
        if let Some(found) = root.find(store).with_context(doing)? {
            return Ok((store, root.count_entries(&found).with_context(doing)?));
        }
    }
    Err(absent_error()).with_context(|| format!("reading {}", STORES[0]))
}

/// The content of [`MENU`].
fn read_menu(root: &Ext4) -> Result<String> {
    let found = root.find(MENU)?.ok_or_else(absent_error)?;
    check_filled(&found)?;
    if found.size > MAX_MENU {
        bail!(Verification, "the menu has {} bytes, more than the limit of {MAX_MENU} bytes", found.size);
    }
    String::from_utf8(root.content(&found, MAX_MENU)?)
        .map_err(|_| failure!(Verification, "the menu is not UTF-8"))
}

/// Finds the file that [`MENU`] names by `menu_path`: its inode and its full path.
fn find_file(root: &Ext4, menu_path: &str) -> Result<(Inode, String)> {
    if menu_path.len() > MAX_PATH {
        bail!(
            Verification,
            "{MENU} names a file with a path of {} bytes, more than the limit of {MAX_PATH} bytes",
            menu_path.len()
        );
    }
    let is_absolute = menu_path.starts_with('/');
    let path = if is_absolute { menu_path.to_owned() } else { format!("/boot/extlinux/{menu_path}") };
    find_filled(root, &path).with_context(|| format!("finding {path}"))
}

/// The inode of the file at `path`, and its path without links. Fails where the file does not exist or is empty.
fn find_filled(root: &Ext4, path: &str) -> Result<(Inode, String)> {
    let (inode, path_without_links) = root.resolve(path)?.ok_or_else(absent_error)?;
    check_filled(&inode)?;
    Ok((inode, path_without_links))
}

/// Fails where `inode` is not a regular file, or is empty: U-Boot and the kernel start neither.
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
