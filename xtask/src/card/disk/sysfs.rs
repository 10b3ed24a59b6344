//! Block devices in sysfs.

use std::path::{Path, PathBuf};

use super::{DeviceNumber, Roots};

/// The unit of sizes and offsets in sysfs in bytes, whatever the sector size of the disk is.
const SECTOR: u64 = 512;

/// A disk, a partition or a stacked device, by its folder in sysfs with all links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    dir: PathBuf,
}

impl BlockDevice {
    /// The block device that the kernel calls `name`.
    pub fn by_name(roots: &Roots, name: &str) -> Option<Self> {
        let dir = roots.sys.join("class/block").join(name);
        dir.canonicalize().ok().map(|dir| Self { dir })
    }

    /// The block device with this number.
    pub fn by_number(roots: &Roots, number: DeviceNumber) -> Option<Self> {
        let dir = roots.sys.join("dev/block").join(number.to_string());
        dir.canonicalize().ok().map(|dir| Self { dir })
    }

    /// The block device at `path` in `/dev`, `/dev/mapper/root`. Links are followed below `roots.dev`.
    pub fn by_path(roots: &Roots, path: &Path) -> Option<Self> {
        let below = roots.dev.canonicalize().ok()?;
        let path = roots.dev.join(path.strip_prefix("/dev").ok()?).canonicalize().ok()?;
        let name = path.strip_prefix(below).ok()?.to_str()?.replace('/', "!");
        Self::by_name(roots, &name)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kernel's name.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The path of the device node, `/dev/sdb1`.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(self.device_path())
    }

    /// The path of the device node below `/dev`: sysfs has `!` where the path has `/`.
    pub fn device_path(&self) -> String {
        self.name().replace('!', "/")
    }

    /// The text of `attribute` without the blanks around it; `None` where it is absent or empty.
    pub fn text(&self, attribute: &str) -> Option<String> {
        let text = std::fs::read(self.dir.join(attribute)).ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    pub fn number(&self, attribute: &str) -> Option<u64> {
        self.text(attribute)?.parse().ok()
    }

    /// Whether `attribute` exists and is not 0.
    pub fn flag(&self, attribute: &str) -> bool {
        self.number(attribute).is_some_and(|value| value != 0)
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.number("size").unwrap_or_default().saturating_mul(SECTOR)
    }

    /// The start of a partition, in bytes from the start of the disk.
    pub fn start(&self) -> u64 {
        self.number("start").unwrap_or_default().saturating_mul(SECTOR)
    }

    pub fn device_number(&self) -> Option<DeviceNumber> {
        DeviceNumber::parse(&self.text("dev")?)
    }

    pub fn is_partition(&self) -> bool {
        self.dir.join("partition").exists()
    }

    /// The whole disk: this device itself, or the disk of this partition.
    pub fn disk(&self) -> Self {
        match self.dir.parent().filter(|_| self.is_partition()) {
            Some(dir) => Self { dir: dir.to_owned() },
            None => self.clone(),
        }
    }

    /// The partitions that the kernel knows, sorted by number.
    pub fn partitions(&self) -> Vec<Self> {
        let mut parts = self.children(".").filter(Self::is_partition).collect::<Vec<_>>();
        parts.sort_by_key(|part| part.number("partition"));
        parts
    }

    /// The devices in the folder `slaves` (below this one) or `holders` (on top of it), sorted by name.
    pub fn linked(&self, folder: &str) -> Vec<Self> {
        let mut devices = self.children(folder).collect::<Vec<_>>();
        devices.sort_by_key(Self::name);
        devices
    }

    fn children(&self, folder: &str) -> impl Iterator<Item = Self> {
        let entries = self.dir.join(folder).read_dir().into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.path().canonicalize().ok()).map(|dir| Self { dir })
    }

    /// The name for messages: the kernel's name, with the name of a device-mapper volume or the level of an array.
    pub fn title(&self) -> String {
        let name = self.name();
        match self.text("dm/name").or_else(|| self.text("md/level")) {
            Some(own) => format!("{name} ({own})"),
            None => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let device = BlockDevice { dir: dir.path().to_owned() };
        crate::base::fuzz::check(
            &[b"62500000\n", b"18446744073709551615", b"179:2\n", b"4294967295:4294967295"],
            |bytes| {
                for attribute in ["size", "start", "dev", "partition", "loop/backing_file"] {
                    let file = dir.path().join(attribute);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, bytes).unwrap();
                }
                (
                    device.size(),
                    device.start(),
                    device.device_number(),
                    device.flag("partition"),
                    device.text("loop/backing_file"),
                )
            },
        );
    }
}
