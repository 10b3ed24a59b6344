//! The file systems that a NixOS system mounts, by the `fstab` in its closure.

use anyhow::Result;

use crate::bail;
use crate::card::inspect::ext4::{Ext4, Inode};

/// The size of the largest `fstab`, in bytes.
const MAX_FSTAB: u64 = 1 << 20;

/// How many links lead to the `fstab` at most.
const MAX_LINKS: usize = 16;

/// The folder of the store on the running host.
const STORE: &str = "/nix/store";

/// One line of an `fstab`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device, as the `fstab` names it.
    pub device: String,
    pub at: String,
    /// Whether the host boots without the device.
    pub is_optional: bool,
}

/// The mounts of the system whose first program is `init`; none where the system has no `fstab`. `store` is the folder
/// of the Nix store on `root`.
///
/// # Errors
/// A file system that cannot be read.
pub fn read(root: &Ext4, store: &str, init: &str) -> Result<Vec<Mount>> {
    let Some(system) = init.strip_suffix("/init") else { return Ok(Vec::new()) };
    let Some(etc) = follow(root, store, &format!("{system}/etc"))? else { return Ok(Vec::new()) };
    let Some(path) = follow(root, store, &format!("{etc}/fstab"))? else { return Ok(Vec::new()) };
    let inode = find_in_store(root, store, &path)?.filter(Inode::is_file);
    let Some(inode) = inode.filter(|inode| inode.size <= MAX_FSTAB) else { return Ok(Vec::new()) };
    let text = root.content(&inode, MAX_FSTAB)?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(Mount::parse).collect())
}

/// The inode at `path`, which may be in the store. A link is not followed.
pub(super) fn find_in_store(root: &Ext4, store: &str, path: &str) -> Result<Option<Inode>> {
    let on_card = path.strip_prefix(STORE).map(|rest| format!("{store}{rest}"));
    root.find_itself(on_card.as_deref().unwrap_or(path))
}

/// The path of the file or folder to which the links at `path` lead; `None` where there is none. The targets are paths
/// of the running host.
pub(super) fn follow(root: &Ext4, store: &str, path: &str) -> Result<Option<String>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Some(inode) = find_in_store(root, store, &path)? else { return Ok(None) };
        if !inode.is_link() {
            return Ok(Some(path));
        }
        let target = String::from_utf8_lossy(&root.link_target(&inode)?).into_owned();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        path = if target.starts_with('/') { target } else { format!("{folder}/{target}") };
    }
    bail!(Verification, "the links in the path form a circle")
}

impl Mount {
    /// Parses a line of an `fstab` (fstab(5)); `None` for a comment, and for what is mounted from no partition.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let device = fields.next().filter(|device| is_partition(device))?.to_owned();
        let at = fields.next()?.to_owned();
        let is_optional = fields
            .nth(1)
            .is_some_and(|options| options.split(',').any(|option| matches!(option, "nofail" | "noauto")));
        Some(Self { device, at, is_optional })
    }
}

/// Whether `device` may be a partition.
fn is_partition(device: &str) -> bool {
    device.starts_with("/dev/") || device.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_parsed_from_fstab() {
        let parse = |line| Mount::parse(line).map(|mount| (mount.device, mount.at, mount.is_optional));
        let mount = |device: &str, at: &str, optional| Some((device.to_owned(), at.to_owned(), optional));
        for (line, expected) in [
            (
                "/dev/disk/by-label/NIXOS_SD /nix ext4 x-initrd.mount,noatime 0 2",
                mount("/dev/disk/by-label/NIXOS_SD", "/nix", false),
            ),
            (
                "/dev/disk/by-label/FIRMWARE /boot/firmware vfat noauto,nofail 0 2",
                mount("/dev/disk/by-label/FIRMWARE", "/boot/firmware", true),
            ),
            ("UUID=0f / ext4", mount("UUID=0f", "/", false)),
            ("/dev/mmcblk0p2 / ext4 defaults", mount("/dev/mmcblk0p2", "/", false)),
            ("tmpfs / tmpfs size=2G 0 0", None),
            ("# LABEL=x / ext4", None),
            ("", None),
            ("LABEL=x", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
