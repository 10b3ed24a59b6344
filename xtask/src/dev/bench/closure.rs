//! A synthetic closure with the size and the size distribution of a small host's, and new versions of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::content::Content;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Store paths by their names without hashes. The content of a path depends only on that name: a path with another
/// hash has the same content.
#[derive(Clone)]
pub struct Closure {
    content: Rc<Content>,
    items: BTreeMap<String, Item>,
}

/// One store path.
#[derive(Clone, Copy)]
struct Item {
    /// The size of all files together, in bytes.
    size: usize,
    /// The number of files.
    files: usize,
    /// Determines the hash in the name of the path.
    version: usize,
}

/// The large paths: name, share of the closure in percent, number of files.
const LARGE: &[(&str, usize, usize)] =
    &[("linux-6.12.30-modules", 18, 900), ("glibc-2.40", 14, 60), ("python3-3.13", 36, 2_000)];

/// The paths of the configuration of a host: name, size in bytes, number of files.
const CONFIGURATION: &[(&str, usize, usize)] = &[
    ("initrd-linux-6.12.30", 24 * MIB, 1),
    ("etc", 40 * KIB, 60),
    ("system-path", 300 * KIB, 400),
    ("nixos-system-pi-26.05", 12 * KIB, 8),
];

impl Closure {
    /// A closure of about `mib` MiB.
    pub fn with_size(mib: usize) -> Self {
        let mut closure = Self { content: Rc::new(Content::new()), items: BTreeMap::new() };
        for &(name, share, files) in LARGE {
            closure.add(name, mib * MIB / 100 * share, files);
        }
        for &(name, size, files) in CONFIGURATION {
            closure.add(name, size, files);
        }
        // The libraries are 27 % of the size: the average one has 1 MiB.
        for number in 0..mib * 27 / 100 {
            // Few paths are large and many small: paths below 1 MiB are 6 to 7 % of the size.
            let random = *blake3::hash(&number.to_le_bytes()).as_bytes();
            let size = ((4 * MIB) >> (random[0] % 8)) + number * 99;
            closure.add(&format!("{:02x}{:02x}lib-1.{number}", random[1], random[2]), size, 1 + number % 40);
            let tool = format!("{:02x}{:02x}tool-2.{number}", random[5], random[6]);
            closure.add(&tool, ((256 * KIB) >> (random[7] % 5)) + number * 9, 1 + number % 9);
            let unit = format!("unit-{:02x}{:02x}{number}.service", random[3], random[4]);
            closure.add(&unit, 300 + number * 9, 1);
        }
        closure
    }

    /// A closure of about `mib` MiB with `factor` times as many files, of which each is smaller: 2 GiB with four times
    /// as many are 1 650 paths and 71 000 files.
    pub fn with_files(mib: usize, factor: usize) -> Self {
        let mut closure = Self::with_size(mib);
        closure.items.values_mut().filter(|item| item.files > 1).for_each(|item| item.files *= factor);
        closure
    }

    /// Adds the store path `name` with `files` files of together `size` bytes, or replaces the path by its next
    /// version.
    pub fn add(&mut self, name: &str, size: usize, files: usize) {
        let version = self.items.get(name).map_or(0, |item| item.version + 1);
        self.items.insert(name.to_owned(), Item { size, files, version });
    }

    /// Replaces the path `name` by its next version, which is larger by `additional` bytes. Does nothing without the
    /// path.
    pub fn grow(&mut self, name: &str, additional: usize) {
        let Some(Item { size, files, .. }) = self.items.get(name).copied() else { return };
        self.add(name, size + additional, files);
    }

    /// Changes to the next configuration: a new unit, and thus another toplevel. The initrd stays the same.
    pub fn reconfigure(&mut self) {
        self.add("unit-new.service", 800, 1);
        for (name, ..) in &CONFIGURATION[1..] {
            self.grow(name, 60);
        }
    }

    /// The size of all files in bytes.
    pub fn size(&self) -> usize {
        self.items.values().map(|item| item.size).sum()
    }

    /// Writes the closure to `dir` in the form for the assembler: `store`, `paths`, `root`, `firmware`. Existing paths
    /// of an earlier version stay.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut paths = Vec::new();
        for (name, item) in &self.items {
            let path = dir.join("store").join(base_name(name, item.version));
            if !path.exists() {
                self.write_item(name, *item, &path)?;
            }
            paths.push(format!("{}\n", path.display()));
        }
        write_file(&dir.join("paths"), paths.concat().as_bytes())?;
        self.write_root(dir)
    }

    /// Writes the files of one store path to `path`.
    fn write_item(&self, name: &str, item: Item, path: &Path) -> Result<()> {
        const FOLDERS: &[&str] = &["bin", "lib", "share/doc", "share/man/man1"];
        for number in 0..item.files {
            // The first files of a path are larger than the last ones.
            let size = item.size * 2 * (item.files - number) / (item.files * (item.files + 1));
            let bytes = self.content.bytes(&format!("{name} {number}"), size.max(1));
            let folder = path.join(FOLDERS[number % FOLDERS.len()]);
            write_file(&folder.join(format!("file-{number}")), &bytes)?;
        }
        Ok(())
    }

    /// Writes the files of an image outside the store. The database has an entry for each path, in the order of their
    /// hashes.
    fn write_root(&self, dir: &Path) -> Result<()> {
        let root = dir.join("root");
        let content = &self.content;
        let boot = root.join("boot/nixos");
        write_file(&boot.join(base_name("linux-6.12.30-Image", 0)), &content.bytes("kernel", 36 * MIB))?;
        write_file(
            &boot.join(base_name("initrd-linux-6.12.30-initrd", 0)),
            &content.bytes("initrd", 24 * MIB),
        )?;
        write_file(&dir.join("firmware/config.txt"), b"arm_64bit=1\n")?;
        let mut base_names =
            self.items.iter().map(|(name, item)| base_name(name, item.version)).collect::<Vec<_>>();
        base_names.sort();
        let conf = format!("DEFAULT nixos\nAPPEND init=/nix/store/{}/init\n", base_names[0]);
        write_file(&root.join("boot/extlinux/extlinux.conf"), conf.as_bytes())?;
        let database = base_names.iter().flat_map(|name| content.bytes(name, KIB)).collect::<Vec<_>>();
        write_file(&root.join("var/nix/db/db.sqlite"), &database)
    }
}

/// The base name of the store path `name` in its version `version`.
fn base_name(name: &str, version: usize) -> String {
    let hash = blake3::hash(format!("{name} {version}").as_bytes()).to_hex();
    format!("{}-{name}", &hash.as_str()[..32])
}

/// Writes `bytes` to `file` and creates its folders.
fn write_file(file: &Path, bytes: &[u8]) -> Result<()> {
    let doing = || format!("writing {}", file.display());
    fs::create_dir_all(file.parent().unwrap_or(file)).with_context(doing)?;
    fs::write(file, bytes).with_context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_paths_have_most_of_the_bytes() {
        let closure = Closure::with_size(700);
        assert!((680..=760).contains(&(closure.size() / MIB)), "{}", closure.size());
        let small = closure.items.values().map(|item| item.size).filter(|size| *size < MIB).sum::<usize>();
        assert!((60..=70).contains(&(small * 1000 / closure.size())), "{small} of {}", closure.size());
    }

    #[test]
    fn another_version_has_another_path_and_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let mut closure = Closure { content: Rc::new(Content::new()), items: BTreeMap::new() };
        closure.add("a-1", 10_000, 2);
        closure.write(dir.path()).unwrap();
        closure.grow("a-1", 0);
        closure.write(dir.path()).unwrap();
        let [old, new] = [0, 1].map(|version| dir.path().join("store").join(base_name("a-1", version)));
        for file in ["bin/file-0", "lib/file-1"] {
            assert_eq!(fs::read(old.join(file)).unwrap(), fs::read(new.join(file)).unwrap());
        }
        let paths = fs::read_to_string(dir.path().join("paths")).unwrap();
        assert_eq!(paths, format!("{}\n", new.display()));
    }
}
