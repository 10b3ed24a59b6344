//! The folder of `NIXOS_SD` that gets the payload: `persist` if it is /nix of the host, its root if it is / of the
//! host.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::metadata_copy;
use crate::bail;
use crate::base::memfd;
use crate::card::image::chunk_hash::{CHUNK, read_chunk};
use crate::card::image::{Ext4Region, Image};
use crate::card::inspect::{Budget, Ext4};
use crate::identity::PayloadRoot;

/// How much of the partition is read to find its root folder, in bytes. mke2fs puts that folder behind the first inode
/// tables.
const LIMIT: u64 = 256 << 20;

/// The folder for the payload in the partition `region` of `image`.
///
/// # Errors
/// `Refused` for a partition that is neither /nix nor / of a NixOS host.
pub fn payload_root(image: &Image, region: &Ext4Region) -> Result<PayloadRoot> {
    let names = root_names(image, region)?;
    let has = |name: &str| names.iter().any(|found| found == name.as_bytes());
    match (has("store"), has("nix")) {
        (true, false) => Ok(PayloadRoot::Persist),
        (false, true) => Ok(PayloadRoot::Partition),
        (true, true) => bail!(
            Refused,
            "NIXOS_SD of {} has both `store` and `nix`: it is unknown where the host reads its key",
            image.source.path.display()
        ),
        (false, false) => bail!(
            Refused,
            "NIXOS_SD of {} has neither `store` nor `nix`: it is the partition of no NixOS host",
            image.source.path.display()
        ),
    }
}

/// The names in the root folder of the partition. Decompresses the partition only until the folder can be read.
fn root_names(image: &Image, region: &Ext4Region) -> Result<Vec<Vec<u8>>> {
    let doing = || format!("reading the root folder of NIXOS_SD in {}", image.source.path.display());
    let mut stream = image.source.stream()?;
    std::io::copy(&mut stream.by_ref().take(region.start), &mut std::io::sink()).with_context(doing)?;
    let mut partition = stream.take(region.size.min(LIMIT));
    let file = memfd::file("beginning of NIXOS_SD").with_context(doing)?;
    file.set_len(region.size).with_context(doing)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let size = read_chunk(&mut partition, &mut chunk).map_err(|(_, error)| error).with_context(doing)?;
        file.write_all_at(&chunk[..size], at).with_context(doing)?;
        at += size as u64;
        let is_end = size < chunk.len();
        // What is not decompressed yet is a hole: reading a folder there fails.
        match read_root(&file, region) {
            Err(_) if !is_end => {}
            names => return names.with_context(doing),
        }
    }
}

fn read_root(file: &File, region: &Ext4Region) -> Result<Vec<Vec<u8>>> {
    let region = metadata_copy::at_start(region);
    Ext4::open(file, region.start, region.size, Budget::unattended())?.root_names()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};
    use crate::card::image::{self, Source};
    use crate::card::inspect::PartitionTable;
    use crate::card::inspect::ext4::tests::made;
    use crate::card::inspect::mbr;

    /// The image of a partition with these folders in its root.
    fn image_with(folders: &[&str], dir: &std::path::Path) -> Image {
        let tree = tempfile::tempdir().unwrap();
        for folder in folders {
            std::fs::create_dir(tree.path().join(folder)).unwrap();
        }
        let size = 40 << 20;
        let partition = made(&["-L", "NIXOS_SD", "-d", tree.path().to_str().unwrap()], 40);
        let mut head = mbr(&[(0x83, true, 2048, u32::try_from(size / 512).unwrap())]).to_vec();
        head.resize(1 << 20, 0);
        let file = dir.join("image.img");
        std::fs::write(&file, [&head[..], &partition].concat()).unwrap();
        let layout = PartitionTable::parse(&head, head.len() as u64 + size).unwrap();
        let source = Source::open(&file).unwrap();
        Image {
            source,
            size: head.len() as u64 + size,
            hash: None,
            layout,
            file_sha256: None,
            host_keys: Vec::new(),
        }
    }

    #[test]
    fn the_root_folder_of_the_partition_decides() {
        for (folders, expected) in [
            (&["store", "persist"][..], Ok(PayloadRoot::Persist)),
            (&["store", "boot"], Ok(PayloadRoot::Persist)),
            (&["nix", "boot"], Ok(PayloadRoot::Partition)),
            (&["nix", "persist", "etc"], Ok(PayloadRoot::Partition)),
            (&["persist"], Err("neither `store` nor `nix`")),
            (&[], Err("neither `store` nor `nix`")),
            (&["store", "nix"], Err("both `store` and `nix`")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let image = image_with(folders, dir.path());
            let found = payload_root(&image, &image::root(&image).unwrap());
            match expected {
                Ok(root) => assert_eq!(found.unwrap(), root, "{folders:?}"),
                Err(text) => {
                    let error = found.unwrap_err();
                    assert!(error.to_string().contains(text), "{error}");
                    assert_eq!(kind(&error), ExitKind::Refused);
                }
            }
        }
    }
}
