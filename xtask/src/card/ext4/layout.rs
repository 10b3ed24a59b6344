//! The place in an image where the host reads its key: by the evaluated configuration of the host, or else by the root
//! folder of the partition.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::metadata_copy;
use crate::base::failure::{ExitKind, kind};
use crate::base::memfd;
use crate::card::image::chunk_hash::{CHUNK, read_chunk};
use crate::card::image::{self, Ext4Region, Image, NIXOS_SD};
use crate::card::inspect::{Budget, Ext4};
use crate::identity::PayloadRoot;
use crate::nix::flake::{HostLayout, KeyPlace, MountedDevice};
use crate::{bail, failure};

/// How much of the partition is read to find its root folder, in bytes. mke2fs puts that folder behind the first inode
/// tables.
const MAX_READ: u64 = 256 << 20;

/// The place of the payload in an image.
#[derive(Debug, PartialEq, Eq)]
pub struct PayloadPlace {
    pub region: Ext4Region,
    pub root: PayloadRoot,
    /// Whether the host reads also the other files of a payload there.
    pub takes_files: bool,
    /// The path of the folder of `root` on the running host, without a `/` at the end; empty for `/`.
    pub host_folder: String,
}

/// The place of the payload in `image`. The evaluated `layout` of the host decides, and the partition must agree with
/// it. Without a layout, or where it says nothing of keys or mounts, the root folder of `NIXOS_SD` decides.
///
/// # Errors
/// `Refused` where no ext4 partition of `image` is the one from which the host reads its key, or the place is unknown.
pub fn payload_place(image: &Image, layout: Option<&HostLayout>) -> Result<PayloadPlace> {
    match layout.map(HostLayout::key_place).transpose()?.flatten() {
        Some(place) => evaluated_place(image, &place),
        None => guessed_place(image),
    }
}

/// The place of the payload where the evaluated configuration has the `key_place`.
///
/// # Errors
/// `Refused` where the image has no such partition, or the partition has not the folder that the configuration
/// requires.
fn evaluated_place(image: &Image, key_place: &KeyPlace) -> Result<PayloadPlace> {
    let KeyPlace { device, mounted_at, folder, key, required_folder } = key_place;
    let region = image::ext4_partition(image, device).map_err(|error| match kind(&error) {
        ExitKind::Refused => {
            failure!(
                Refused,
                "{error:#} (the configuration of the host mounts that partition at {mounted_at})"
            )
        }
        _ => error,
    })?;
    if let Some(required) = required_folder {
        let names = root_names(image, &region)?;
        if !names.iter().any(|name| name == required.as_bytes()) {
            bail!(
                Refused,
                "the configuration of the host mounts {} at {mounted_at}, but in {} that partition has no folder `{required}`",
                region.name,
                image.source.path.display()
            );
        }
    }
    let root = PayloadRoot::new(folder.as_deref().unwrap_or_default(), key)?;
    let host_folder =
        format!("{}{}", mounted_at.trim_end_matches('/'), folder.as_deref().unwrap_or_default());
    Ok(PayloadPlace { region, root, takes_files: folder.is_some(), host_folder })
}

/// The place of the payload by the names in the root folder of `NIXOS_SD`.
fn guessed_place(image: &Image) -> Result<PayloadPlace> {
    let region = image::ext4_partition(image, &MountedDevice::Label(NIXOS_SD.to_owned()))?;
    let names = root_names(image, &region)?;
    let has = |name: &str| names.iter().any(|found| found == name.as_bytes());
    let (root, host_folder) = match (has("store"), has("nix")) {
        // The host mounts the partition at /nix.
        (true, false) => (PayloadRoot::persist(), "/nix/persist"),
        // The host mounts the partition at /.
        (false, true) => (PayloadRoot::partition(), ""),
        (true, true) => bail!(
            Refused,
            "{NIXOS_SD} of {} has both `store` and `nix`: it is unknown where the host reads its key",
            image.source.path.display()
        ),
        (false, false) => bail!(
            Refused,
            "{NIXOS_SD} of {} has neither `store` nor `nix`: it is the partition of no NixOS host",
            image.source.path.display()
        ),
    };
    Ok(PayloadPlace { region, root, takes_files: true, host_folder: host_folder.to_owned() })
}

/// The names in the root folder of the partition. Decompresses the partition only until the folder can be read.
fn root_names(image: &Image, region: &Ext4Region) -> Result<Vec<Vec<u8>>> {
    let doing = || format!("reading the root folder of {} in {}", region.name, image.source.path.display());
    let mut stream = image.source.stream()?;
    std::io::copy(&mut stream.by_ref().take(region.start), &mut std::io::sink()).with_context(doing)?;
    let mut partition = stream.take(region.size.min(MAX_READ));
    let file = memfd::file("beginning of the partition").with_context(doing)?;
    file.set_len(region.size).with_context(doing)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let size = read_chunk(&mut partition, &mut chunk).map_err(|(_, error)| error).with_context(doing)?;
        file.write_all_at(&chunk[..size], at).with_context(doing)?;
        at += size as u64;
        let is_end = size < chunk.len();
        // The part that is not decompressed yet is a hole, so a folder there cannot be read.
        match read_root(&file, region) {
            Err(_) if !is_end => {}
            names => return names.with_context(doing),
        }
    }
}

/// The names in the root folder of the file system in `file`.
fn read_root(file: &File, region: &Ext4Region) -> Result<Vec<Vec<u8>>> {
    let region = metadata_copy::region_at_start(region);
    Ext4::open(file, region.start, region.size, Budget::without_stop())?.root_names()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::card::image::Source;
    use crate::card::inspect::PartitionTable;
    use crate::card::inspect::ext4::tests::make_ext4;
    use crate::card::inspect::mbr;

    const UUID: &str = "0123abcd-0000-4000-8000-00000000beef";

    /// An image whose partition `number` has this label, and these folders in its root.
    fn image_with(label: &str, number: usize, folders: &[&str], dir: &std::path::Path) -> Image {
        let tree = tempfile::tempdir().unwrap();
        for folder in folders {
            std::fs::create_dir(tree.path().join(folder)).unwrap();
        }
        let mib = |count: u32| count << 11;
        let partition = make_ext4(&["-L", label, "-U", UUID, "-d", tree.path().to_str().unwrap()], 40);
        let mut table = [(0x0b, false, mib(1), mib(1)), (0x83, false, mib(2), mib(1)), (0, false, 0, 0)];
        table[number - 1] = (0x83, true, mib(3), mib(40));
        let mut head = mbr(&table).to_vec();
        head.resize(3 << 20, 0);
        let file = dir.join("image.img");
        std::fs::write(&file, [&head[..], &partition].concat()).unwrap();
        let size = head.len() as u64 + partition.len() as u64;
        let layout = PartitionTable::parse(&head, size).unwrap();
        let source = Source::open(&file).unwrap();
        Image { source, size, hash: None, layout, file_sha256: None, host_keys: Vec::new(), kept_facts: None }
    }

    /// The layout of a host with its key at `key`, and these mount points and devices of file systems.
    fn host(key: &str, mounts: &[[&str; 3]]) -> HostLayout {
        let mounts =
            mounts.iter().map(|[at, device, kind]| json!({ "at": at, "device": device, "type": kind }));
        let layout = json!({ "hostKeys": [key], "mounts": mounts.collect::<Value>(), "moved": [] });
        serde_json::from_value(layout).unwrap()
    }

    #[track_caller]
    fn assert_place(image: &Image, layout: Option<&HostLayout>, expected: Result<&str, &str>) {
        let found = payload_place(image, layout);
        match (found, expected) {
            (Ok(place), Ok(path)) => assert_eq!(place.root.key_path(), path),
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{error}");
                assert_eq!(kind(&error), ExitKind::Refused);
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn without_an_evaluation_the_root_folder_of_nixos_sd_decides() {
        let persist = Ok("/persist/etc/ssh/ssh_host_ed25519_key");
        let root = Ok("/etc/ssh/ssh_host_ed25519_key");
        for (label, number, folders, expected) in [
            ("NIXOS_SD", 2, &["store", "persist"][..], persist),
            ("NIXOS_SD", 2, &["store", "boot"], persist),
            ("NIXOS_SD", 1, &["nix", "boot"], root),
            ("NIXOS_SD", 3, &["nix", "persist", "etc"], root),
            ("NIXOS_SD", 2, &["persist"], Err("neither `store` nor `nix`")),
            ("NIXOS_SD", 2, &[], Err("neither `store` nor `nix`")),
            ("NIXOS_SD", 2, &["store", "nix"], Err("both `store` and `nix`")),
            ("nixos", 2, &["nix"], Err("has no partition NIXOS_SD with ext4")),
            ("root", 3, &["nix"], Err("has no partition NIXOS_SD with ext4")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let image = image_with(label, number, folders, dir.path());
            assert_place(&image, None, expected);
            assert_place(&image, Some(&HostLayout::default()), expected);
        }
    }

    const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
    const SD: &str = "/dev/disk/by-label/NIXOS_SD";
    /// The file systems of a host whose / is in memory.
    const MEMORY: [[&str; 3]; 2] = [["/", "none", "tmpfs"], ["/nix", SD, "ext4"]];
    /// The file systems of a host with /persist on the third partition.
    const THIRD: [[&str; 3]; 2] =
        [["/", "/dev/disk/by-label/root", "ext4"], ["/persist", "/dev/mmcblk1p3", "ext4"]];

    fn root(device: &str) -> [[&str; 3]; 1] {
        [["/", device, "ext4"]]
    }

    #[test]
    fn the_evaluated_layout_of_the_host_decides() {
        let uuid = format!("/dev/disk/by-uuid/{UUID}");
        for (key, mounts, label, number, folders, expected) in [
            (KEY, &root(SD)[..], "NIXOS_SD", 2, &["nix"][..], KEY),
            (KEY, &root("/dev/disk/by-label/nixos"), "nixos", 3, &["nix"], KEY),
            (KEY, &root(&uuid), "", 3, &["nix", "store"], KEY),
            ("/persist/keys/host", &root(SD), "NIXOS_SD", 2, &["nix", "persist"], "/persist/keys/host"),
            ("/nix/persist/etc/ssh/k", &MEMORY, "NIXOS_SD", 2, &["store"], "/persist/etc/ssh/k"),
            ("/nix/keys/host", &MEMORY, "NIXOS_SD", 2, &["store"], "/keys/host"),
            // /persist is a file system of its own, with or without a store.
            ("/persist/etc/ssh/k", &THIRD, "data", 3, &[], "/etc/ssh/k"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let image = image_with(label, number, folders, dir.path());
            assert_place(&image, Some(&host(key, mounts)), Ok(expected));
        }
    }

    #[test]
    fn an_image_or_a_layout_without_a_place_for_the_key_is_refused() {
        let uuid = format!("/dev/disk/by-uuid/{UUID}");
        let nix_persist = "/nix/persist/etc/ssh/k";
        let no_partition = "no partition NIXOS_SD with ext4 (the configuration";
        for (key, mounts, label, folders, expected) in [
            ("/persist/etc/ssh/k", &THIRD[..], "data", &[][..], "has no partition 3 with ext4 (the"),
            (KEY, &root(SD), "NIXOS_SD", &["store", "persist"], "mounts NIXOS_SD at /, but in"),
            (KEY, &root(&uuid), "", &["persist"], "mounts partition 2 at /, but in"),
            (nix_persist, &MEMORY, "NIXOS_SD", &["nix", "persist"], "has no folder `store`"),
            (KEY, &root(SD), "nixos", &["nix"], no_partition),
            (KEY, &MEMORY, "NIXOS_SD", &["store"], "in memory (tmpfs at /)"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let image = image_with(label, 2, folders, dir.path());
            assert_place(&image, Some(&host(key, mounts)), Err(expected));
        }
    }
}
