//! Block devices in sysfs.

use std::path::{Path, PathBuf};

use super::{DeviceNumber, Roots};

/// The unit of sizes and offsets in sysfs, in bytes: the same for every disk, whatever its sector size is.
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

    /// The block device at `path` in `/dev`, `/dev/mapper/root`. Links are followed below `roots.dev`. `None` for a
    /// path outside `/dev`, and for a path without a block device.
    pub fn by_path(roots: &Roots, path: &Path) -> Option<Self> {
        let dev_folder = roots.dev.canonicalize().ok()?;
        let node = roots.dev.join(path.strip_prefix("/dev").ok()?).canonicalize().ok()?;
        let name = node.strip_prefix(dev_folder).ok()?.to_str()?.replace('/', "!");
        Self::by_name(roots, &name)
    }

    /// The folder in sysfs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kernel's name.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The path of the device node for messages and other programs, `/dev/sdb1`.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(self.path_below_dev())
    }

    /// The path of the device node in the folder `roots.dev`, to open the device.
    pub fn node(&self, roots: &Roots) -> PathBuf {
        roots.dev.join(self.path_below_dev())
    }

    /// The path of the device node below `/dev`: the name in sysfs has `!` where the path has `/`.
    fn path_below_dev(&self) -> String {
        self.name().replace('!', "/")
    }

    /// The text of `attribute` without the blanks around it; `None` where it is absent or empty.
    pub fn text(&self, attribute: &str) -> Option<String> {
        let text = std::fs::read(self.dir.join(attribute)).ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The number in `attribute`; `None` where the attribute is absent or no decimal number.
    pub fn number(&self, attribute: &str) -> Option<u64> {
        self.text(attribute)?.parse().ok()
    }

    /// Whether `attribute` exists and is a number other than 0.
    pub fn is_set(&self, attribute: &str) -> bool {
        self.number(attribute).is_some_and(|value| value != 0)
    }

    /// The size in bytes; 0 where it is unknown.
    pub fn size(&self) -> u64 {
        self.number("size").unwrap_or_default().saturating_mul(SECTOR)
    }

    /// The start of a partition, in bytes from the start of the disk; 0 where it is unknown.
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
        match self.dir.parent() {
            Some(dir) if self.is_partition() => Self { dir: dir.to_owned() },
            _ => self.clone(),
        }
    }

    /// The partitions that the kernel knows, sorted by number.
    pub fn partitions(&self) -> Vec<Self> {
        let mut parts = self.entries(".").filter(Self::is_partition).collect::<Vec<_>>();
        parts.sort_by_key(|part| part.number("partition"));
        parts
    }

    /// The devices on which this device is stacked, sorted by name.
    pub fn slaves(&self) -> Vec<Self> {
        self.linked_devices("slaves")
    }

    /// The devices that are stacked on this device, sorted by name.
    pub fn holders(&self) -> Vec<Self> {
        self.linked_devices("holders")
    }

    fn linked_devices(&self, folder: &str) -> Vec<Self> {
        let mut devices = self.entries(folder).collect::<Vec<_>>();
        devices.sort_by_key(Self::name);
        devices
    }

    /// Wraps each entry of `folder`, below the folder of this device, without checking that the entry is a device.
    fn entries(&self, folder: &str) -> impl Iterator<Item = Self> {
        let entries = self.dir.join(folder).read_dir().into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.path().canonicalize().ok()).map(|dir| Self { dir })
    }

    /// The name for messages: the kernel's name, with the name of a device-mapper volume or the level of an array.
    pub fn title(&self) -> String {
        let name = self.name();
        match self.text("dm/name").or_else(|| self.text("md/level")) {
            Some(detail) => format!("{name} ({detail})"),
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
                    device.is_set("partition"),
                    device.text("loop/backing_file"),
                )
            },
        );
    }
}
