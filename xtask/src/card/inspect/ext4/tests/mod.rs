//! Reading ext4 file systems that mke2fs makes, compared with the crate `ext4_view`.

mod hostile;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ext4_view::Ext4 as Ext4View;

use super::*;
use crate::base::process::Launcher;

fn run(program: &str, args: &[&str]) -> String {
    let launcher = Launcher::new("/").with_path_front(Path::new("/usr/sbin")).with_env("LC_ALL", "C");
    launcher.read(program, args).unwrap()
}

pub(crate) fn debugfs(args: &[&str]) -> String {
    run("debugfs", args)
}

/// The bytes of a file system of `mib` MiB that mke2fs makes with the options `args`.
pub(crate) fn make_ext4(args: &[&str], mib: u64) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(mib << 20).unwrap();
    let path = file.path().to_str().unwrap();
    run("mke2fs", &[&["-q", "-F", "-t", "ext4"], args, &[path]].concat());
    std::fs::read(path).unwrap()
}

/// A folder like the root of a card: a menu, a kernel, a store with many paths, short and long links, a file with
/// holes.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["boot/extlinux", "boot/nixos", "store/a-system", "persist/etc"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::fs::write(at("boot/extlinux/extlinux.conf"), "LABEL a\n LINUX ../nixos/k\n INITRD ../nixos/i\n")
        .unwrap();
    std::fs::write(at("boot/nixos/k"), vec![7; 60_000]).unwrap();
    std::fs::write(at("boot/nixos/i"), "").unwrap();
    for number in 0..400 {
        std::fs::write(at(&format!("store/{number:032}-path")), number.to_string()).unwrap();
    }
    let long = format!("{}../boot/nixos/k", "../store/".repeat(20));
    for (link, target) in
        [("short", "../boot/./nixos//k"), ("long", long.as_str()), ("loop", "loop"), ("root", "/boot")]
    {
        std::os::unix::fs::symlink(target, at("store").join(link)).unwrap();
    }
    let holes = File::create(at("persist/holes")).unwrap();
    holes.write_all_at(b"in the middle", 100_000).unwrap();
    holes.set_len(300_000).unwrap();
    dir
}

/// Options of mke2fs for file systems of different structure.
pub(crate) const VARIANTS: &[&[&str]] = &[
    &["-b", "1024", "-O", "metadata_csum,64bit"],
    &["-b", "1024", "-O", "^metadata_csum,^64bit", "-g", "2048"],
    &["-b", "1024", "-O", "^extents,^64bit,^has_journal"],
    &["-b", "4096", "-O", "metadata_csum,metadata_csum_seed"],
    &["-b", "4096", "-O", "^metadata_csum", "-I", "128"],
];

/// The bytes of a file system that mke2fs makes with the options `args`, with the files of [`tree`].
fn make_populated(args: &[&str]) -> Vec<u8> {
    let tree = tree();
    make_ext4(&[args, &["-d", tree.path().to_str().unwrap()]].concat(), 8)
}

/// A file with `bytes`.
fn disk(bytes: &[u8]) -> File {
    let disk = tempfile::tempfile().unwrap();
    disk.write_all_at(bytes, 0).unwrap();
    disk
}

fn open(disk: &File) -> Result<Ext4<'_>> {
    Ext4::open(disk, 0, disk.metadata().unwrap().len(), Budget::without_stop())
}

/// Reads all kinds of files and folders, and returns the contents without those that fail.
fn read_everything(disk: &File) -> Result<Vec<Vec<u8>>> {
    let fs = open(disk)?;
    let mut found = Vec::new();
    for path in [
        "/boot/extlinux/extlinux.conf",
        "/boot/extlinux/../nixos/k",
        "/store/short",
        "/store/long",
        "/store/loop",
        "/store/root/nixos/i",
        "/persist/holes",
        "/persist/absent",
    ] {
        let content = || -> Result<Vec<u8>> {
            if let Some(itself) = fs.find_itself(path)?.filter(Inode::is_link) {
                fs.link_target(&itself)?;
            }
            fs.resolve(path)?.map_or(Ok(Vec::new()), |(inode, _)| fs.content(&inode, 4 << 20))
        };
        found.extend(content());
    }
    if let Ok(Some(store)) = fs.find("/store") {
        let _ = fs.count_entries(&store);
    }
    Ok(found)
}

#[test]
fn another_implementation_reads_the_same() {
    for &args in VARIANTS {
        let bytes = make_populated(args);
        let disk = disk(&bytes);
        let other = Ext4View::load(Box::new(bytes.clone())).unwrap();
        let fs = open(&disk).unwrap();
        for folder in ["/", "/store", "/boot/nixos", "/persist", "/lost+found"] {
            let inode = fs.find(folder).unwrap().unwrap();
            let names = other.read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let paths = names.map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!(fs.count_entries(&inode).unwrap() + 2, paths.len(), "{folder} {args:?}");
            for path in &paths {
                assert_same(&fs, &other, path);
            }
        }
        for path in ["/store/short", "/store/long", "/store/root/nixos/../nixos/i"] {
            let own = fs.resolve(path).unwrap().unwrap().1;
            assert_eq!(own, other.canonicalize(path).unwrap().to_str().unwrap(), "{path} {args:?}");
        }
    }
}

/// Asserts that both implementations read the same at `path`.
fn assert_same(fs: &Ext4, other: &Ext4View, path: &str) {
    let own = fs.find_itself(path).unwrap().unwrap();
    let theirs = other.symlink_metadata(path).unwrap();
    assert_eq!(
        (own.mode & 0o7777, own.user, own.group, own.size),
        (theirs.mode(), theirs.uid(), theirs.gid(), theirs.len()),
        "{path}"
    );
    assert_eq!(
        (own.is_file(), own.is_folder(), own.is_link()),
        (theirs.file_type().is_regular_file(), theirs.is_dir(), theirs.is_symlink()),
        "{path}"
    );
    // The other implementation reports a hole in a block map as damage.
    if own.is_file() && (own.has_extents() || !path.ends_with("holes")) {
        assert_eq!(fs.content(&own, 4 << 20).unwrap(), other.read(path).unwrap(), "{path}");
    }
    if own.is_link() {
        assert_eq!(fs.link_target(&own).unwrap(), other.read_link(path).unwrap().as_ref(), "{path}");
    }
}

#[test]
fn holes_are_zeros() {
    for &args in VARIANTS {
        let disk = disk(&make_populated(args));
        let fs = open(&disk).unwrap();
        let holes = fs.content(&fs.find("/persist/holes").unwrap().unwrap(), 300_000).unwrap();
        assert!(holes.len() == 300_000 && holes[100_000..].starts_with(b"in the middle\0"));
        assert_eq!(holes.iter().filter(|byte| **byte != 0).count(), 13);
    }
}

#[test]
fn wrong_paths_are_named() {
    for &args in VARIANTS {
        let disk = disk(&make_populated(args));
        let fs = open(&disk).unwrap();
        assert_eq!(fs.find("/store/absent").unwrap(), None);
        let circle = fs.find("/store/loop/x").unwrap_err().to_string();
        assert_eq!(circle, "the links in the path form a circle");
        assert_eq!(fs.find("/boot/nixos/k/x").unwrap_err().to_string(), "`k` on the way is not a folder");
    }
}

#[test]
fn a_file_system_with_clusters_is_read() {
    let bytes = make_populated(&["-b", "1024", "-O", "bigalloc"]);
    assert_eq!(read_everything(&disk(&bytes)).unwrap().len(), 7);
}

/// debugfs leaves the journal like a system that lost its power.
#[test]
fn a_journal_that_is_not_empty_is_replayed() {
    for (features, open_journal) in [
        ("metadata_csum,64bit", "jo"),
        ("^metadata_csum,^64bit", "jo"),
        ("metadata_csum,64bit", "jo -c -v 2"),
        ("metadata_csum,^64bit", "jo -c -v 2"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("fs"), make_populated(&["-b", "1024", "-O", features])).unwrap();
        let content = || {
            let disk = File::open(path("fs")).unwrap();
            let fs = open(&disk).unwrap();
            let names = fs.count_entries(&fs.find("/boot").unwrap().unwrap()).unwrap();
            (fs.find("/boot/extlinux").unwrap().is_some(), names)
        };
        assert_eq!(content(), (true, 2));
        // The later block of /boot lacks one of its entries.
        let block = debugfs(&["-R", "blocks /boot", &path("fs")]).trim().to_owned();
        let at = block.parse::<u64>().unwrap() * 1024;
        std::fs::copy(path("fs"), path("later")).unwrap();
        debugfs(&["-w", "-R", "unlink /boot/extlinux", &path("later")]);
        let mut later = [0; 1024];
        File::open(path("later")).unwrap().read_exact_at(&mut later, at).unwrap();
        // The first tag in the journal is that of another block.
        std::fs::write(path("blocks"), later.repeat(2)).unwrap();
        let script = format!("{open_journal}\njw -b 8000,{block} {}\njc\n", path("blocks"));
        std::fs::write(path("script"), script).unwrap();
        let output = debugfs(&["-w", "-f", &path("script"), &path("fs")]);
        assert_eq!(content(), (false, 1), "{features} {open_journal}: {output}");
        // After a revoke the block of the file system counts.
        std::fs::write(path("script"), format!("jo\njw -r {block}\njc\n")).unwrap();
        debugfs(&["-w", "-f", &path("script"), &path("fs")]);
        assert_eq!(content(), (true, 2), "{features} {open_journal}");
    }
}
