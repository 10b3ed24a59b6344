//! Images with a real `NIXOS_SD`, and assertions about a card by e2fsprogs.

use std::path::Path;

use serde_json::Value;

use crate::card::MIB;
use crate::image::{garbage, image};
use crate::support::Sandbox;
use crate::support::image::stdout_of;

/// The size of the image in MiB.
const IMAGE_MIB: usize = 40;
/// The size of the card in MiB.
pub const CARD_MIB: usize = 48;
/// The offset of `NIXOS_SD` in bytes, as in the partition table.
const PARTITION_OFFSET: usize = MIB;

/// The free space of a file system.
#[derive(Clone, Copy, PartialEq)]
enum FreeSpace {
    Plenty,
    NearlyNone,
}

/// The bytes of an image whose one partition is an ext4 with the label `NIXOS_SD` and blocks of `block_size` bytes.
/// It has a `/persist` with a file and a link.
pub fn host_image(block_size: usize) -> Vec<u8> {
    image_with_persist(block_size, FreeSpace::Plenty)
}

/// The bytes of the image of [`host_image`] with nearly no free space.
pub fn full_host_image() -> Vec<u8> {
    image_with_persist(4096, FreeSpace::NearlyNone)
}

fn image_with_persist(block_size: usize, free_space: FreeSpace) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("persist/etc")).expect("making a folder");
    std::fs::write(root.join("persist/etc/old.conf"), "of the image\n").expect("writing");
    std::os::unix::fs::symlink("etc/old.conf", root.join("persist/link")).expect("linking");
    std::fs::create_dir(root.join("store")).expect("making a folder");
    std::fs::write(root.join("store/path"), garbage(5 * MIB + 1234)).expect("writing");
    image_of(&root, block_size, free_space)
}

/// The bytes of an image as nixpkgs makes it: its partition is / of the host, with the store in `nix/store`.
pub fn stock_image() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("nix/store")).expect("making a folder");
    std::fs::create_dir_all(root.join("boot/extlinux")).expect("making a folder");
    std::fs::write(root.join("nix/store/path"), garbage(5 * MIB + 1234)).expect("writing");
    image_of(&root, 4096, FreeSpace::Plenty)
}

/// The bytes of an image as nixpkgs makes it, with the ssh host keys `names` inside.
pub fn image_with_keys(names: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let root = dir.path().join("root");
    for folder in ["nix/store", "etc/ssh"] {
        std::fs::create_dir_all(root.join(folder)).expect("making a folder");
    }
    for name in names {
        std::fs::write(root.join("etc/ssh").join(name), "of the image\n").expect("writing");
    }
    image_of(&root, 4096, FreeSpace::Plenty)
}

/// The bytes of an image as nixpkgs makes it, with a system that U-Boot starts. Its sshd lets in those whose
/// `authorized_keys` of `user` is `keys`.
pub fn system_image(user: &str, keys: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let root = dir.path().join("root");
    let menu =
        "DEFAULT a\nLABEL a\n LINUX ../kernel\n INITRD ../initrd\n APPEND init=/nix/store/system/init\n";
    let keys_path = format!("nix/store/etc/etc/ssh/authorized_keys.d/{user}");
    for (path, text) in [
        ("boot/extlinux/extlinux.conf", menu),
        ("boot/kernel", "x"),
        ("boot/initrd", "x"),
        ("nix/store/system/init", "x"),
        ("nix/store/etc/etc/ssh/sshd_config", "x"),
        (&keys_path, keys),
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("making a folder");
        std::fs::write(path, text).expect("writing");
    }
    std::os::unix::fs::symlink("/nix/store/etc/etc", root.join("nix/store/system/etc")).expect("linking");
    image_of(&root, 4096, FreeSpace::Plenty)
}

/// The bytes of an image whose one partition is an ext4 with the content of `root`. Without free space it has no
/// journal.
fn image_of(root: &Path, block_size: usize, free_space: FreeSpace) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let file = dir.path().join("image");
    std::fs::write(&file, image(IMAGE_MIB)).expect("writing an image");
    let is_full = free_space == FreeSpace::NearlyNone;
    let size = if is_full { 6 * MIB } else { (IMAGE_MIB - 1) * MIB };
    let block_size = block_size.to_string();
    let size = format!("{}k", size / 1024);
    let offset = format!("lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,offset={PARTITION_OFFSET}");
    let journal = if is_full { "^has_journal" } else { "has_journal" };
    let args = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        "NIXOS_SD",
        "-b",
        &block_size,
        "-I",
        "256",
        "-m",
        "0",
        "-O",
        journal,
    ];
    let [root, file_path] = [root, &file].map(|path| path.to_str().expect("a plain path"));
    stdout_of("/usr/sbin/mke2fs", &[&args[..], &["-E", &offset, "-d", root, file_path, &size]].concat());
    std::fs::read(&file).expect("reading an image")
}

/// Runs `request` of debugfs on `NIXOS_SD` of the card, and returns the output.
#[track_caller]
pub fn debugfs(card: &str, request: &str) -> String {
    stdout_of("/usr/sbin/debugfs", &["-R", request, &format!("{card}?offset={PARTITION_OFFSET}")])
}

/// The entries of `folder` on the card: name, mode, owner, group and size, sorted.
#[track_caller]
pub fn listing(card: &str, folder: &str) -> Vec<String> {
    let listing = debugfs(card, &format!("ls -p {folder}"));
    let lines = listing.lines().filter_map(|line| {
        let fields = line.split('/').collect::<Vec<_>>();
        let [_, _, mode, user, group, name, size, _] = fields[..] else { return None };
        (!name.starts_with('.')).then(|| format!("{name} {mode} {user}:{group} {size}"))
    });
    let mut lines = lines.collect::<Vec<_>>();
    lines.sort();
    lines
}

/// Asserts that `NIXOS_SD` of the card has no errors.
#[track_caller]
pub fn assert_sound(card: &str) {
    stdout_of("/usr/sbin/e2fsck", &["-f", "-n", &format!("{card}?offset={PARTITION_OFFSET}")]);
}

/// The numbers of the chunks that the payload changed, read from the stdout of a flash with `--json`.
#[track_caller]
pub fn payload_chunks(result: &str) -> Vec<usize> {
    let result = serde_json::from_str::<Value>(result).expect("JSON");
    let chunks = result["report"]["payload"]["chunks"].as_array().expect("chunks").iter();
    let positions =
        chunks.map(|chunk| usize::try_from(chunk["at_bytes"].as_u64().expect("a position")).expect("small"));
    positions.map(|at| at / MIB).collect()
}

/// Asserts that the card differs from the image in each of `chunks`, and in no other chunk.
#[track_caller]
pub fn assert_differs_only_in(card: &[u8], image: &[u8], chunks: &[usize]) {
    let differs = |mib: &usize| {
        let here = mib * MIB..(mib + 1) * MIB;
        card[here.clone()] != image[here]
    };
    assert_eq!((0..IMAGE_MIB).filter(differs).collect::<Vec<_>>(), chunks);
}

/// The private key of `host`, as the workstation has it.
#[track_caller]
pub fn private_key(sandbox: &Sandbox, host: &str) -> String {
    let file = sandbox.path("state/identity").join(host).join("ssh_host_ed25519_key");
    std::fs::read_to_string(file).expect("reading a key")
}

/// Asserts that no file below `dir` contains a line of `key`, apart from the file of the key itself.
#[track_caller]
pub fn assert_no_key_in_files(dir: &Path, key: &str) {
    for entry in dir.read_dir().expect("reading a folder") {
        let path = entry.expect("reading a folder").path();
        if path.is_dir() {
            assert_no_key_in_files(&path, key);
        } else if path.is_file() && path.file_name() != Some("ssh_host_ed25519_key".as_ref()) {
            let text = String::from_utf8_lossy(&std::fs::read(&path).expect("reading")).into_owned();
            assert_no_key_in(&text, key, &path.display().to_string());
        }
    }
}

/// Asserts that `text` contains no line of the private `key`.
#[track_caller]
pub fn assert_no_key_in(text: &str, key: &str, what: &str) {
    let secret =
        key.lines().filter(|line| !line.starts_with("-----")).map(|line| &line[..line.len().min(40)]);
    let found = secret.filter(|line| text.contains(line)).count();
    assert_eq!(found, 0, "the private key is in {what}");
}
