//! A closure as large and as uneven as that of a small host, and what a new version of it is made from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bytes that look like chance and are the same for the same seed.
fn fill(seed: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The store path of `name` in its version `version`.
fn base(name: &str, version: u8) -> String {
    let hash = blake3::hash(format!("{name} {version}").as_bytes()).to_hex();
    format!("{}-{name}", &hash.as_str()[..32])
}

/// One store path.
#[derive(Clone, Copy)]
struct Item {
    /// In bytes, of all files together.
    size: usize,
    files: usize,
    /// Changes the hash in the name of the path, and nothing else.
    version: u8,
}

/// Names without hashes, and what is behind them.
#[derive(Clone)]
pub struct Closure(BTreeMap<String, Item>);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

impl Closure {
    /// About 700 MiB.
    pub fn new() -> Self {
        let mut closure = Self(BTreeMap::new());
        for (name, size, files) in [
            ("linux-6.12.30-modules", 129 * MIB, 900),
            ("glibc-2.40", 100 * MIB, 60),
            ("python3-3.13", 180 * MIB, 2_000),
            ("initrd-linux-6.12.30", 24 * MIB, 1),
            ("etc", 40 * KIB, 60),
            ("system-path", 300 * KIB, 400),
            ("nixos-system-pi-26.05", 12 * KIB, 8),
        ] {
            closure.add(name, size, files);
        }
        for number in 0..130 {
            // Few are large and many small: those below 1 MiB are 4 % of all, about as in a real one.
            let dice = fill(&number.to_string(), 4);
            let size = (8 * MIB) >> (dice[0] % 8);
            closure.add(
                &format!("{:02x}{:02x}lib-1.{number}", dice[1], dice[2]),
                size + number * 99,
                1 + number % 40,
            );
            closure.add(&format!("unit-{:02x}{:02x}{number}.service", dice[3], dice[1]), 300 + number * 9, 1);
        }
        closure
    }

    pub fn add(&mut self, name: &str, size: usize, files: usize) {
        self.0.insert(name.to_owned(), Item { size, files, version: 0 });
    }

    /// Gives `name` another hash.
    pub fn rename(&mut self, name: &str) {
        self.0.get_mut(name).unwrap().version += 1;
    }

    /// Makes `name` larger by `more` bytes, and so gives it another hash.
    pub fn grow(&mut self, name: &str, more: usize) {
        self.rename(name);
        self.0.get_mut(name).unwrap().size += more;
    }

    /// In the middle of those of about its size: the name of a package of at most 200 KiB.
    pub fn small_package(&self) -> String {
        let small = self.0.iter().filter(|(name, item)| name.contains("lib-") && item.size < 200 * KIB);
        let names = small.map(|(name, _)| name).collect::<Vec<_>>();
        names[names.len() / 2].clone()
    }

    /// The size of all files in bytes.
    pub fn size(&self) -> usize {
        self.0.values().map(|item| item.size).sum()
    }

    /// Writes it below `dir`, as the assembler takes it: `store`, `paths`, `root`, `firmware`.
    pub fn write(&self, dir: &Path) {
        let store = dir.join("store");
        let mut paths = String::new();
        for (name, item) in &self.0 {
            let path = store.join(base(name, item.version));
            if !path.exists() {
                item.write(name, &path);
            }
            paths.extend([path.to_str().unwrap(), "\n"]);
        }
        fs::write(dir.join("paths"), paths).unwrap();
        self.write_root(dir);
    }

    /// What a host's image has beside the store. The database knows each path, in the order of their hashes.
    fn write_root(&self, dir: &Path) {
        let boot = dir.join("root/boot/nixos");
        for folder in ["root/boot/extlinux", "root/boot/nixos", "root/persist", "root/var/nix/db", "firmware"]
        {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        fs::write(boot.join(base("linux-6.12.30-Image", 0)), fill("kernel", 36 * MIB)).unwrap();
        fs::write(boot.join(base("initrd-linux-6.12.30-initrd", 0)), fill("initrd", 24 * MIB)).unwrap();
        fs::write(dir.join("firmware/config.txt"), "arm_64bit=1\n").unwrap();
        let mut bases = self.0.iter().map(|(name, item)| base(name, item.version)).collect::<Vec<_>>();
        bases.sort();
        let conf = format!("DEFAULT nixos\nAPPEND init=/nix/store/{}/init\n", bases[0]);
        fs::write(dir.join("root/boot/extlinux/extlinux.conf"), conf).unwrap();
        let database = bases.iter().flat_map(|base| fill(base, KIB)).collect::<Vec<_>>();
        fs::write(dir.join("root/var/nix/db/db.sqlite"), database).unwrap();
    }
}

impl Item {
    /// The content follows from the name alone, so that a renamed path has the same.
    fn write(&self, name: &str, path: &Path) {
        let folders = ["bin", "lib", "share/doc", "share/man/man1"];
        for number in 0..self.files {
            let folder = path.join(folders[number % folders.len()]);
            fs::create_dir_all(&folder).unwrap();
            // The first files of a path are larger than the last.
            let share = self.size * 2 * (self.files - number) / (self.files * (self.files + 1));
            fs::write(folder.join(format!("file-{number}")), fill(&format!("{name} {number}"), share.max(1)))
                .unwrap();
        }
    }
}
