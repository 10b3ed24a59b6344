//! The boot files of a system that is built: its kernel, initrd and device trees, and the FIRMWARE of its
//! configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::base::bounded::{self, Links};
use crate::base::hex;
use crate::boot::{Firmware, FirmwareFile, Kernel, MAX_CONFIG};
use crate::nix::StorePath;

/// The store of this machine, whose paths name the files in a boot folder.
const STORE: &str = "/nix/store";

/// How many files of one folder of a system are read.
const MAX_FILES: usize = 20_000;
/// The most bytes that are read of a file on FIRMWARE, or of a script.
const MAX_FILE: u64 = 64 << 20;

/// The block size of a file system, in bytes: a file takes a whole number of blocks.
const BLOCK: u64 = 4096;

/// The boot files of a system in the store of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltSystem {
    kernel: PathBuf,
    /// What the menu writer of nixpkgs copies to the boot folder: the names there, with the space that each takes on
    /// the disk, in bytes.
    pub copies: Vec<(String, u64)>,
    /// The paths of the device trees, relative to their folder; `None` for a system without them, which leaves the
    /// choice to U-Boot.
    pub device_trees: Option<BTreeSet<String>>,
    /// The FIRMWARE that its `update-firmware` would write.
    pub firmware: Option<BuiltFirmware>,
}

/// The folder with the files of FIRMWARE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFirmware(pub PathBuf);

impl BuiltSystem {
    /// The boot files of `system`; `None` for a system without a kernel, such as a container.
    pub fn read(system: &Path) -> Result<Option<Self>> {
        let part = |name: &str| system.join(name).canonicalize().ok();
        let Some(kernel) = part("kernel") else { return Ok(None) };
        let trees = part("dtbs").filter(|folder| folder.is_dir());
        let files = trees.as_deref().map(files_below).transpose()?;
        let mut copies = Vec::new();
        for file in [Some(kernel.clone()), part("initrd")].into_iter().flatten() {
            let size = file.metadata().with_context(|| format!("reading {}", file.display()))?.len();
            copies.push((name_in_boot_folder(&file), size_on_disk(size)));
        }
        if let (Some(folder), Some(files)) = (&trees, &files) {
            let size = files.values().copied().map(size_on_disk).sum();
            copies.push((name_in_boot_folder(folder), size));
        }
        let device_trees = files.map(|files| files.into_keys().collect());
        let firmware = BuiltFirmware::of_updater(&system.join("sw/bin/update-firmware"))?;
        Ok(Some(Self { kernel, copies, device_trees, firmware }))
    }

    /// Reads the header of the kernel.
    pub fn kernel(&self) -> Result<Kernel> {
        let doing = || format!("reading {}", self.kernel.display());
        let file = bounded::open(&self.kernel, Links::Follow).with_context(doing)?;
        Kernel::read(file).with_context(doing)
    }
}

impl BuiltFirmware {
    /// The FIRMWARE that the script `updater` writes; `None` without such a script, or if the script names none.
    fn of_updater(updater: &Path) -> Result<Option<Self>> {
        if !updater.exists() {
            return Ok(None);
        }
        let script = bounded::read(updater, MAX_FILE, Links::Follow);
        let script = script.with_context(|| format!("reading {}", updater.display()))?;
        let script = String::from_utf8_lossy(&script);
        let tree = script.lines().find_map(|line| line.trim().strip_prefix("export tree="));
        Ok(tree.map(|tree| Self(PathBuf::from(tree.trim()))))
    }

    /// The store path of the folder; `None` if the folder is not in a store.
    pub fn store_path(&self) -> Option<StorePath> {
        StorePath::containing(self.0.to_str()?)
    }

    /// The SHA-256 of each file, in hexadecimal, by its path.
    pub fn sums(&self) -> Result<BTreeMap<String, String>> {
        let mut sums = BTreeMap::new();
        for file in files_below(&self.0)?.into_keys() {
            let sum = hex(&Sha256::digest(self.read(&file)?));
            sums.insert(file, sum);
        }
        Ok(sums)
    }

    /// The content of the file `name`.
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.0.join(name);
        bounded::read(&path, MAX_FILE, Links::Follow).with_context(|| format!("reading {}", path.display()))
    }
}

impl Firmware for BuiltFirmware {
    fn config(&self) -> Result<Option<String>> {
        let path = self.0.join("config.txt");
        if !path.exists() {
            return Ok(None);
        }
        let config = bounded::read(&path, MAX_CONFIG.into(), Links::Follow).context("reading config.txt")?;
        Ok(Some(String::from_utf8_lossy(&config).into_owned()))
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.0.join(name).exists())
    }

    fn file(&self, name: &str) -> Result<Option<FirmwareFile>> {
        if !self.has(name)? {
            return Ok(None);
        }
        self.read(name).map(|bytes| Some(FirmwareFile::of(&bytes)))
    }
}

/// The name that the menu writer of nixpkgs gives to a copy of `path`.
fn name_in_boot_folder(path: &Path) -> String {
    path.strip_prefix(STORE).unwrap_or(path).display().to_string().replace('/', "-")
}

/// The space that a file of `size` bytes takes on a disk, in bytes.
fn size_on_disk(size: u64) -> u64 {
    size.next_multiple_of(BLOCK)
}

/// The paths of all files below `folder`, relative to it, with their sizes in bytes. Links that lead nowhere are left
/// out.
fn files_below(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let doing = || format!("reading {}", current.display());
        for entry in current.read_dir().with_context(doing)?.take(MAX_FILES) {
            let entry = entry.with_context(doing)?;
            let path = entry.path();
            if entry.file_type().with_context(doing)?.is_dir() {
                folders.push(path);
            } else if let Ok(data) = path.metadata() {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                found.insert(name, data.len());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
pub mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A system in `dir`, whose kernel takes `size` bytes of memory.
    pub fn system(dir: &Path, size: u64) -> BuiltSystem {
        let uboot = b"\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0";
        for (path, content) in [
            ("linux/Image", crate::boot::kernel_header(size)),
            ("initrd", vec![7; 5000]),
            ("trees/broadcom/bcm2837-rpi-3-b.dtb", vec![7; 100]),
            ("trees/broadcom/bcm2711-rpi-4-b.dtb", vec![7; 5000]),
            ("firmware/config.txt", b"kernel=u-boot-pi3.bin\n".to_vec()),
            ("firmware/u-boot-pi3.bin", uboot.to_vec()),
            ("firmware/overlays/a b.dtbo", vec![7]),
            ("firmware/trial.env", vec![0; 512]),
            (
                "system/sw/bin/update-firmware",
                format!("#!/bin/sh\nexport tree={}/firmware\n", dir.display()).into(),
            ),
        ] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for (link, target) in [("kernel", "linux/Image"), ("initrd", "initrd"), ("dtbs", "trees")] {
            symlink(dir.join(target), dir.join("system").join(link)).unwrap();
        }
        BuiltSystem::read(&dir.join("system")).unwrap().unwrap()
    }

    #[test]
    fn the_boot_files_of_a_built_system_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let found = system(dir.path(), 33 << 20);
        let sizes = found.copies.iter().map(|(_, size)| *size).collect::<Vec<_>>();
        assert_eq!(sizes, [4096, 8192, 4096 + 8192]);
        assert_eq!(found.kernel().unwrap().size, 33 << 20);
        assert_eq!(found.device_trees.unwrap().first().unwrap(), "broadcom/bcm2711-rpi-4-b.dtb");
        let sums = found.firmware.as_ref().unwrap().sums().unwrap();
        assert_eq!(sums.keys().next_back().unwrap(), "u-boot-pi3.bin");
        assert_eq!(sums["overlays/a b.dtbo"].len(), 64);
        assert_eq!(crate::boot::uboot_programs(&found.firmware.unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn a_system_without_a_kernel_has_no_boot_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(BuiltSystem::read(dir.path()).unwrap(), None);
    }

    /// The menu writer of nixpkgs gives this name to a copy of a path in the store.
    #[test]
    fn copies_are_named_by_their_store_paths() {
        let name = name_in_boot_folder(Path::new("/nix/store/0123-linux-6.12/Image"));
        assert_eq!(name, "0123-linux-6.12-Image");
    }

    /// The tool reads this line in the script that the configuration makes.
    #[test]
    fn the_updater_names_its_tree() {
        let nix = include_str!("../../../../hosts/raspberry-pi/firmware.nix");
        assert!(nix.contains("\n    export tree=${treeBy pkgs}\n"));
    }
}
