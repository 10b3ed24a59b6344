//! The system that U-Boot starts: the default entry of the boot menu on the bootable partition, with its files.

use anyhow::{Context, Result};
use std::collections::BTreeSet;

use super::volume::{EXT4, Volume};
use super::{Boot, mounts};
use crate::boot::{self, Board, Kernel, MenuTree};
use crate::card::inspect::ext4::{Ext4, Inode};
use crate::card::inspect::extlinux::{self, BootEntry};
use crate::card::inspect::partition::Partition;
use crate::card::inspect::partition_table::PartitionTable;
use crate::card::inspect::{Budget, ReadAt};
use crate::{bail, failure};

/// The folders of the bootable partition that may be the Nix store.
const STORES: &[&str] = &["/store", "/nix/store"];

/// The menu that U-Boot reads on the bootable partition.
const MENU: &str = "/boot/extlinux/extlinux.conf";

/// The size of the largest menu, in bytes.
const MAX_MENU: u64 = 1 << 20;

/// The length of the longest path in a menu, in bytes.
const MAX_PATH: usize = 4096;

/// What U-Boot starts.
pub struct System {
    pub boot: Boot,
    /// The header of the kernel.
    pub header: Kernel,
    pub device_tree: MenuTree,
    /// What the system mounts.
    pub mounts: Vec<mounts::Mount>,
}

/// The default entry of the menu. All its files exist.
#[derive(Debug)]
pub struct Entry {
    pub boot: Boot,
    pub kernel: Inode,
    pub device_tree: MenuTree,
    /// The folder of the Nix store.
    pub store: &'static str,
}

impl System {
    /// Reads the system on the bootable partition of the card `disk`.
    ///
    /// # Errors
    /// Every fault that keeps U-Boot from starting the system, and a card that cannot be read.
    pub fn read(
        disk: &dyn ReadAt,
        layout: &PartitionTable,
        volumes: &[Volume],
        budget: &Budget,
    ) -> Result<Self> {
        let marked = layout.partitions.iter().filter(|partition| partition.bootable).collect::<Vec<_>>();
        let first = boot::first_marked(&marked)?;
        marked.iter().try_for_each(|partition| refuse_overlap(partition, layout))?;
        // U-Boot scans all marked partitions in order. FIRMWARE may be marked for a script, and have no menu.
        let bootable = marked.iter().find(|partition| has_ext4(volumes, partition.number)).unwrap_or(first);
        refuse_without_menu(volumes, bootable)?;
        let doing = || format!("reading the file system on partition {}", bootable.number);
        let root = Ext4::open(disk, bootable.start, bootable.size, budget.clone()).with_context(doing)?;
        Self::read_from(&root).with_context(doing)
    }

    /// Reads the system on the file system `root`.
    fn read_from(root: &Ext4) -> Result<Self> {
        let Entry { boot, kernel, device_tree, store } = read_entry(root)?;
        // A kernel that is not compressed has its header in the first block, of which alone is read.
        let header = Kernel::read(root.reader(&kernel));
        let header = header.with_context(|| format!("reading {}", boot.kernel))?;
        let mounts = mounts::read(root, store, &boot.init).context("reading the fstab of the system")?;
        Ok(Self { boot, header, device_tree, mounts })
    }
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

/// Reads the default entry of the menu. Fails where a file that the entry names is missing or empty.
pub(super) fn read_entry(root: &Ext4) -> Result<Entry> {
    let menu = read_menu(root).with_context(|| format!("reading {MENU}"))?;
    let entry = extlinux::default_entry(&menu).map_err(|error| error.into_error(MENU))?;
    let (store, store_paths) = find_store(root)?;
    check_init(root, store, &entry.init)?;
    let (inode, kernel) = find_file(root, &entry.kernel)?;
    let (_, initrd) = find_file(root, &entry.initrd)?;
    let device_tree = read_tree(root, &entry)?;
    let boot = Boot { kernel, initrd, init: entry.init, store_paths };
    Ok(Entry { boot, kernel: inode, device_tree, store })
}

/// The device tree that the `entry` names, or the folder with those of all boards.
fn read_tree(root: &Ext4, entry: &BootEntry) -> Result<MenuTree> {
    if let Some(path) = &entry.device_tree {
        return Ok(MenuTree::File(find_file(root, path)?.1));
    }
    let Some(folder) = &entry.device_tree_folder else { return Ok(MenuTree::Unnamed) };
    let path = absolute(folder)?;
    let mut files = BTreeSet::new();
    for name in Board::kernel_trees() {
        // U-Boot's names have this folder.
        let found = root.find(&format!("{path}/broadcom/{name}"))?;
        files.extend(found.is_some_and(|inode| check_filled(&inode).is_ok()).then(|| name.to_owned()));
    }
    Ok(MenuTree::Folder { path, files })
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
    let path = absolute(menu_path)?;
    find_filled(root, &path).with_context(|| format!("finding {path}"))
}

/// The path that [`MENU`] means by `menu_path`, which may be relative to the folder of the menu.
fn absolute(menu_path: &str) -> Result<String> {
    if menu_path.len() > MAX_PATH {
        bail!(
            Verification,
            "{MENU} names a file with a path of {} bytes, more than the limit of {MAX_PATH} bytes",
            menu_path.len()
        );
    }
    let is_absolute = menu_path.starts_with('/');
    Ok(if is_absolute { menu_path.to_owned() } else { format!("/boot/extlinux/{menu_path}") })
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
