//! The ssh host keys inside an image: all its cards share them. They are found while the check reads the image, without
//! reading it again.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition_stream::{PartitionStream, Piece};
use crate::base::{Event, Plain};
use crate::card::inspect::ext4::{FoundFiles, StreamedExt4};
use crate::card::inspect::{Partition, PartitionTable};

/// The folders of a partition in which hosts keep their keys. `nix/persist` belongs to a host whose / is the partition,
/// `persist` also to a host whose /nix is the partition.
const FOLDERS: &[&str] = &["etc/ssh", "persist/etc/ssh", "nix/persist/etc/ssh"];

/// The names of all folders in [`FOLDERS`].
const FOLDER_NAMES: &[&[u8]] = &[b"etc", b"ssh", b"persist", b"nix"];

/// The number of keys that the warning lists at most.
const MAX_LISTED: usize = 3;

/// The remedy for keys inside an image.
const HINT: &str = "build the image without a key: `cargo xtask flash HOST` gives each card a key of its own";

/// A host key inside an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostKeyFile {
    /// The number of the partition.
    pub partition: u32,
    /// The path from the root of the partition.
    pub path: String,
}

impl fmt::Display for HostKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on partition {}", Plain(&self.path), self.partition)
    }
}

/// The warning of the host `keys` inside an image; `None` where there are none.
pub fn host_key_warning(keys: &[HostKeyFile]) -> Option<Event> {
    if keys.is_empty() {
        return None;
    }
    let listed = keys.iter().take(MAX_LISTED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if keys.len() > MAX_LISTED { " and more" } else { "" };
    let text = match keys {
        [_] => format!("the image has an ssh host key inside: {listed}; all its cards share that key"),
        _ => format!("the image has ssh host keys inside: {listed}{more}; all its cards share these keys"),
    };
    Some(Event::warning_with_hint(text, HINT))
}

/// Whether sshd and ssh-keygen give the name `name` to private host keys.
fn is_host_key(name: &[u8]) -> bool {
    name.len() < 256 && name.starts_with(b"ssh_host_") && name.ends_with(b"_key")
}

/// Whether `name` can be a part of the path of a host key.
fn is_part_of_key_path(name: &[u8]) -> bool {
    FOLDER_NAMES.contains(&name) || is_host_key(name)
}

/// A search for host keys in an image that is read from its start to its end.
#[derive(Default)]
pub struct HostKeySearch {
    partitions: PartitionStream,
    /// The file system of the partition that is being read.
    current: Option<StreamedExt4>,
    found: Vec<HostKeyFile>,
}

impl HostKeySearch {
    /// Searches the partitions of `layout`.
    pub fn new(layout: &PartitionTable) -> Self {
        Self { partitions: PartitionStream::new(layout), current: None, found: Vec::new() }
    }

    /// Searches the next `bytes` of the image.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { partitions, current, found } = self;
        partitions.feed(bytes, &mut |partition, piece| match piece {
            Piece::Bytes(bytes) => {
                let new = || StreamedExt4::new(partition.size, is_part_of_key_path);
                current.get_or_insert_with(new).feed(bytes);
            }
            Piece::End => {
                let files = current.take().map(StreamedExt4::finish).unwrap_or_default();
                found.extend(keys_in(partition, &files));
            }
        });
    }

    /// The keys that were found.
    pub fn finish(self) -> Vec<HostKeyFile> {
        self.found
    }
}

/// The keys among the `files` of `partition`.
fn keys_in(partition: &Partition, files: &FoundFiles) -> Vec<HostKeyFile> {
    let mut inodes = Vec::new();
    let mut found = Vec::new();
    for folder in FOLDERS {
        for (name, inode) in files.filled_files(folder, is_host_key) {
            // A link can make two of the folders the same one.
            if !inodes.contains(&inode) {
                inodes.push(inode);
                let path = format!("{folder}/{}", String::from_utf8_lossy(name));
                found.push(HostKeyFile { partition: partition.number, path });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{CheckCache, Depth, Source, examine, examine_and_remember, examine_once};
    use super::*;
    use crate::base::Silent;
    use crate::card::inspect::ext4::tests::make_ext4;
    use crate::card::inspect::mbr;

    /// An ext4 of `mib` MiB with these files, each with its content.
    fn ext4_with(files: &[(&str, &str)], mib: u64) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        make_ext4(&["-L", "NIXOS_SD", "-d", dir.path().to_str().unwrap()], mib)
    }

    /// An image of these partitions, each as its first sector and its bytes.
    fn image(partitions: &[(u32, &[u8])]) -> Vec<u8> {
        let sectors = |bytes: &[u8]| u32::try_from(bytes.len() / 512).unwrap();
        let is_bootable = false;
        let entries = partitions.iter().map(|(start, bytes)| (0x83, is_bootable, *start, sectors(bytes)));
        let mut image = mbr(&entries.collect::<Vec<_>>()).to_vec();
        for (start, bytes) in partitions {
            let start = usize::try_from(*start).unwrap() * 512;
            image.resize(image.len().max(start + bytes.len()), 0);
            image[start..start + bytes.len()].copy_from_slice(bytes);
        }
        image
    }

    /// The keys that a check finds in `image`, which is written to `file`.
    fn keys(image: &[u8], file: &Path) -> Vec<String> {
        std::fs::write(file, zstd::encode_all(image, 1).unwrap()).unwrap();
        let image = examine(Source::open(file).unwrap(), Depth::Whole, &Silent).unwrap();
        image.host_keys.iter().map(ToString::to_string).collect()
    }

    const ED25519: &str = "etc/ssh/ssh_host_ed25519_key";

    #[test]
    fn keys_are_found_where_hosts_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pi.img.zst");
        let firmware = [&[0xeb, 0x58][..], &[7; 4094]].concat().repeat(256);
        for (files, expected) in [
            (&[(ED25519, "secret")][..], &["etc/ssh/ssh_host_ed25519_key on partition 2"][..]),
            (
                &[
                    ("persist/etc/ssh/ssh_host_rsa_key", "secret"),
                    ("persist/etc/ssh/ssh_host_rsa_key.pub", "x"),
                ],
                &["persist/etc/ssh/ssh_host_rsa_key on partition 2"],
            ),
            (
                &[("nix/persist/etc/ssh/ssh_host_a_key", "secret"), (ED25519, "secret")],
                &[
                    "etc/ssh/ssh_host_ed25519_key on partition 2",
                    "nix/persist/etc/ssh/ssh_host_a_key on partition 2",
                ],
            ),
            (&[("etc/ssh/ssh_host_ed25519_key.pub", "x"), ("etc/ssh/sshd_config", "x")], &[]),
            (&[(ED25519, "")], &[]),
            (&[("nix/store/a-keys/etc/ssh/ssh_host_ed25519_key", "secret")], &[]),
            (&[], &[]),
        ] {
            // Also where the partition begins in the middle of a block and of a chunk.
            for start in [4096, 4099] {
                let image = image(&[(2048, &firmware), (start, &ext4_with(files, 8))]);
                assert_eq!(keys(&image, &file), expected, "{files:?}");
            }
        }
        let nix = ext4_with(&[(ED25519, "secret")], 8);
        let both = image(&[(2048, &nix), (2048 + 16384, &nix)]);
        assert_eq!(keys(&both, &file).len(), 2);
        assert_eq!(keys(&image(&[(2048, &firmware)]), &file), [""; 0]);
    }

    #[test]
    fn an_image_without_the_end_of_a_partition_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pi.img.zst");
        let whole = image(&[(2048, &ext4_with(&[(ED25519, "secret")], 8))]);
        std::fs::write(&file, zstd::encode_all(&whole[..6 << 20], 1).unwrap()).unwrap();
        assert!(examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).is_err());
    }

    #[test]
    fn of_partitions_that_overlap_the_first_is_searched() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = image(&[(2048, &ext4_with(&[(ED25519, "secret")], 8))]);
        image[462..478].copy_from_slice(&mbr(&[(0x83, false, 2056, 4096)])[446..462]);
        let found = keys(&image, &dir.path().join("pi.img.zst"));
        assert_eq!(found, ["etc/ssh/ssh_host_ed25519_key on partition 1"]);
    }

    #[test]
    fn a_cached_check_has_the_keys_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pi.img");
        std::fs::write(&file, image(&[(2048, &ext4_with(&[(ED25519, "secret")], 8))])).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(150));
        let cache = CheckCache::new(&dir.path().join("state"));
        let open = || Source::open(&file).unwrap();
        let checked = examine_and_remember(open(), &cache, &Silent).unwrap();
        assert_eq!(checked.host_keys.len(), 1);
        assert_eq!(examine_once(open(), &cache, &Silent).unwrap().host_keys, checked.host_keys);
        // The cache of an earlier version, which did not search for keys.
        let path = dir.path().join("state/checked-images.json");
        let mut cached = serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).unwrap();
        cached[0].as_object_mut().unwrap().remove("host_keys").unwrap();
        std::fs::write(&path, cached.to_string()).unwrap();
        assert_eq!(examine_once(open(), &cache, &Silent).unwrap().host_keys, checked.host_keys);
    }

    #[test]
    fn the_warning_names_the_keys() {
        let key = |partition, path: &str| HostKeyFile { partition, path: path.to_owned() };
        let text = |keys: &[HostKeyFile]| match host_key_warning(keys) {
            Some(Event::Warning { text, hint: Some(_) }) => Some(text),
            _ => None,
        };
        assert_eq!(text(&[]), None);
        let expected = "the image has an ssh host key inside: etc/ssh/ssh_host_a_key on partition 2; all its cards share \
                        that key";
        assert_eq!(text(&[key(2, "etc/ssh/ssh_host_a_key")]).as_deref(), Some(expected));
        let many = text(&["a", "b\n", "c", "d"].map(|name| key(1, name))).unwrap();
        assert!(many.contains(", c on partition 1 and more; all its cards share these keys"), "{many}");
        assert!(!many.contains('\n'), "{many}");
    }
}
