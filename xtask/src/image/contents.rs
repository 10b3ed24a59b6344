//! What is on a card, read from its own file systems: their labels, and what U-Boot will start with room for it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use ext4_view::Ext4;
use serde::{Deserialize, Serialize};

use super::extlinux;
use super::fat::Fat;
use super::kernel::Kernel;
use super::layout::{HEAD, Layout};
use super::partition::Partition;
use super::uboot::{self, UBoot};
use super::window::ext4;
use crate::failure::Kind;
use crate::ui::Bytes;

/// A card that can start a system from its bootable partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub volumes: Vec<Volume>,
    pub boot: Boot,
    /// What the firmware of a Pi hands over to, where FIRMWARE has it.
    pub uboots: Vec<UBoot>,
}

/// A partition with the file system on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub partition: Partition,
    pub filesystem: String,
    pub label: String,
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, filesystem, label } = self;
        let boot = if partition.bootable { ", bootable" } else { "" };
        write!(f, "{}: {label}, {filesystem}, {}{boot}", partition.number, Bytes(partition.size))
    }
}

/// What U-Boot starts by itself. The files are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub kernel: String,
    pub initrd: String,
    /// The first program of the system, in /nix/store.
    pub init: String,
    /// How many store paths the card holds.
    pub store_paths: usize,
}

const EXT4: &str = "ext4";
const FAT32: &str = "FAT32";

/// Where the Nix store is on the bootable partition.
const STORES: [&str; 2] = ["/store", "/nix/store"];

/// Where U-Boot looks on the bootable partition.
const CONFIG: &str = "/boot/extlinux/extlinux.conf";

/// No menu is larger, in bytes.
const LARGEST_MENU: u64 = 1 << 20;

/// Reads the card (or the decompressed image) `disk` with this `layout`. A partition that U-Boot does not look
/// at may hold anything.
///
/// # Errors
/// Whatever keeps the card from booting, and a card that cannot be read.
pub(super) fn contents(disk: &File, layout: &Layout) -> Result<Contents> {
    let bootable = layout.partitions.iter().find(|partition| partition.bootable);
    let bootable = bootable.ok_or_else(|| Kind::Verification.error("no partition is marked bootable"))?;
    let volumes = layout.partitions.iter().filter_map(|partition| volume(disk, partition).transpose());
    let volumes = volumes.collect::<Result<Vec<_>>>()?;
    has_menu(&volumes, bootable.number)?;
    let doing = || format!("reading the file system on partition {}", bootable.number);
    let root = ext4(disk.try_clone().with_context(doing)?, bootable.start).with_context(doing)?;
    let boot = boot(&root).with_context(doing)?;
    let uboots = uboots(disk, &volumes, &root, &boot)?;
    Ok(Contents { volumes, boot, uboots })
}

/// The file `name` on the FIRMWARE of a card; nothing where there is none.
///
/// # Errors
/// A card that cannot be read.
pub fn firmware_file(disk: &File, name: &str) -> Result<Option<Vec<u8>>> {
    let size = disk.metadata().context("asking for the size of the card")?.len();
    let layout = Layout::parse(&read(disk, 0, usize::try_from(HEAD.min(size))?)?, size)?;
    let volumes = layout.partitions.iter().filter_map(|partition| volume(disk, partition).transpose());
    let volumes = volumes.collect::<Result<Vec<_>>>()?;
    let Some(volume) = volumes.iter().find(|volume| volume.filesystem == FAT32) else { return Ok(None) };
    Fat::open(disk, volume.partition.start)?.read(name)
}

/// Whether the partition with the number `bootable` can be one with a menu for U-Boot.
fn has_menu(volumes: &[Volume], bootable: u32) -> Result<()> {
    let marked = volumes.iter().find(|volume| volume.partition.number == bootable);
    let Some(Volume { filesystem, label, .. }) = marked else {
        let text = format!("partition {bootable} has neither FAT32 nor ext4 on it");
        return Err(Kind::Verification.error(text));
    };
    if filesystem == EXT4 {
        return Ok(());
    }
    let with_menu = volumes.iter().find(|volume| volume.filesystem == EXT4);
    let remedy = with_menu.map(|Volume { partition, label, .. }| {
        let number = partition.number;
        format!(
            "; mark partition {number} ({label}) with `sfdisk --activate`, giving it the disk and {number}"
        )
    });
    let text = format!(
        "partition {bootable} ({label}, {filesystem}) is marked bootable, so U-Boot looks for its menu there{}",
        remedy.unwrap_or_default()
    );
    Err(Kind::Verification.error(text))
}

/// The U-Boots on the first FAT, which is the one that the firmware of a Pi reads.
fn uboots(disk: &File, volumes: &[Volume], root: &Ext4, boot: &Boot) -> Result<Vec<UBoot>> {
    let Some(volume) = volumes.iter().find(|volume| volume.filesystem == FAT32) else {
        return Ok(Vec::new());
    };
    let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
    let firmware = Fat::open(disk, volume.partition.start).with_context(doing)?;
    let programs = uboot::programs(&firmware).with_context(doing)?;
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    let file = root.open(boot.kernel.as_str()).map_err(anyhow::Error::new);
    let kernel = file.and_then(Kernel::read).with_context(|| format!("reading {}", boot.kernel))?;
    uboot::with_room(programs, kernel)
}

pub(super) fn read(disk: &File, start: u64, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    disk.read_exact_at(&mut bytes, start)
        .with_context(|| format!("reading {count} bytes at byte {start}"))?;
    Ok(bytes)
}

/// The file system on a partition, if it is one that a card of ours has.
fn volume(disk: &File, partition: &Partition) -> Result<Option<Volume>> {
    let found = label(&read(disk, partition.start, 2048.min(usize::try_from(partition.size)?))?);
    let volume = |(filesystem, label): (&str, _)| Volume {
        partition: partition.clone(),
        filesystem: filesystem.to_owned(),
        label,
    };
    Ok(found.map(volume))
}

/// The kind and the label of the file system that begins with `head`, at least 2 KiB.
pub(super) fn label(head: &[u8]) -> Option<(&'static str, String)> {
    let text = |at: usize, len: usize| {
        let bytes = head.get(at..at + len).unwrap_or_default();
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
    };
    // The magic number and the label in the superblock, which begins at 1024.
    if head.get(1024 + 56..1024 + 58) == Some(&[0x53, 0xef]) {
        return Some((EXT4, text(1024 + 120, 16)));
    }
    (text(82, 8) == "FAT32").then(|| (FAT32, text(71, 11)))
}

fn boot(root: &Ext4) -> Result<Boot> {
    let config = menu(root).with_context(|| format!("reading {CONFIG}"))?;
    let entry = extlinux::default_entry(&config).ok_or_else(|| {
        Kind::Verification.error(format!("{CONFIG} has no default entry with LINUX, INITRD and init="))
    })?;
    // NIXOS_SD becomes /nix: what is called /nix/store there is called /store here. Other images have it
    // as their root.
    let store = STORES.into_iter().find(|store| root.exists(*store).unwrap_or(false)).unwrap_or(STORES[0]);
    let init = entry.init.strip_prefix("/nix/store").map(|rest| format!("{store}{rest}"));
    let init = init.unwrap_or_else(|| entry.init.clone());
    root.symlink_metadata(init.as_str()).with_context(|| format!("looking for {}", entry.init))?;
    Ok(Boot {
        kernel: present(root, &entry.kernel)?,
        initrd: present(root, &entry.initrd)?,
        init: entry.init,
        store_paths: root
            .read_dir(store)
            .with_context(|| format!("reading {store}"))?
            .count()
            .saturating_sub(2),
    })
}

/// The content of [`CONFIG`]. All of it goes to memory: a damaged size must not.
fn menu(root: &Ext4) -> Result<String> {
    if root.metadata(CONFIG)?.len() > LARGEST_MENU {
        return Err(Kind::Verification.error("it is larger than any menu"));
    }
    Ok(root.read_to_string(CONFIG)?)
}

/// The full path of a file that [`CONFIG`] names.
fn present(root: &Ext4, named: &str) -> Result<String> {
    let path = if named.starts_with('/') { named.to_owned() } else { format!("/boot/extlinux/{named}") };
    let found = root.canonicalize(path.as_str()).with_context(|| format!("looking for {path}"))?;
    Ok(found.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        let mut head = vec![0; 2048];
        assert_eq!(label(&head), None);
        head[71..90].copy_from_slice(b"FIRMWARE   FAT32   ");
        assert_eq!(label(&head), Some(("FAT32", "FIRMWARE".into())));
        head[1080..1082].copy_from_slice(&[0x53, 0xef]);
        head[1144..1152].copy_from_slice(b"NIXOS_SD");
        assert_eq!(label(&head), Some(("ext4", "NIXOS_SD".into())));
        assert_eq!(label(b"short"), None);
    }
}
