//! [`Disk`] and the types of its properties.

use std::fmt;
use std::path::PathBuf;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MountOwner;
use crate::base::failure::ReasonKind;
use crate::base::{Bytes, Plain};

/// A whole disk, or a plain file that is a virtual card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disk {
    /// The kernel's name, `mmcblk0`; for a plain file its file name.
    pub name: String,
    /// The device node, `/dev/mmcblk0`; for a plain file its absolute path.
    #[serde(rename = "device")]
    pub path: PathBuf,
    /// The device number; a plain file has none.
    pub number: Option<DeviceNumber>,
    /// In bytes; 0 where the drive has no medium.
    #[serde(rename = "bytes")]
    pub size: u64,
    /// The logical sector size, in bytes.
    #[serde(rename = "sector_bytes")]
    pub sector_size: u32,
    pub read_only: bool,
    pub kind: DiskKind,
    pub vendor: Option<String>,
    pub model: Option<String>,
    /// The serial number; for an SD card its CID, which is unique where the short serial is not.
    pub serial: Option<String>,
    /// The kernel's count of media: another card in the same slot has another number (since Linux 5.15).
    pub diskseq: Option<u64>,
    pub partitions: Vec<Partition>,
    /// Everything that now uses the disk or a part of it.
    pub uses: Vec<Use>,
}

/// The kind of a disk, which decides whether it can be a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DiskKind {
    /// An SD card in a card slot of the machine.
    SdCard,
    /// A stick, a disk or a card reader behind USB. The `removable` of readers is often 0.
    Usb,
    /// Flash memory that belongs to the machine.
    SolderedEmmc,
    Internal {
        bus: String,
    },
    /// A loop device; `backing` is the file behind it.
    Loop {
        backing: Option<PathBuf>,
    },
    /// A plain file as a virtual card, identified by its file system and inode.
    File {
        #[serde(rename = "device_number")]
        device: u64,
        inode: u64,
    },
    /// A disk that cannot be a card; `why` continues "it is ...".
    Other {
        why: String,
    },
}

/// A partition, or the file system of a disk without a partition table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DiskPartition")]
pub struct Partition {
    /// The kernel's name, `mmcblk0p1`; `None` where the kernel has not scanned the partition table.
    pub name: Option<String>,
    /// 0 for a file system on the whole disk.
    pub number: u32,
    /// In bytes from the start of the disk.
    #[serde(rename = "start_bytes")]
    pub start: u64,
    /// In bytes.
    #[serde(rename = "bytes")]
    pub size: u64,
    /// The label of the file system.
    pub label: Option<String>,
    /// The type of the file system by udev's names, `vfat`.
    #[serde(rename = "filesystem")]
    pub fstype: Option<String>,
}

/// One use of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Use {
    /// The disk or partition that is used, `sda2`.
    #[serde(rename = "name")]
    pub device: String,
    /// The devices between `device` and its use, from the disk upwards: `dm-0 (cryptroot)`.
    pub through: Vec<String>,
    pub role: Role,
}

/// What a disk is used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Role {
    Mounted {
        at: PathBuf,
        #[serde(default)]
        owner: MountOwner,
    },
    Swap,
    /// Behind a loop device, or a part of an array, a volume group or a pool, none of which is mounted or used as swap.
    Held,
}

/// The number of a device, from its driver (major) and within that (minor).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

impl DeviceNumber {
    /// From the form of `stat(2)`.
    pub fn from_raw(raw: u64) -> Self {
        Self { major: rustix::fs::major(raw), minor: rustix::fs::minor(raw) }
    }

    /// Parses the form of sysfs and mountinfo, `179:0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl DiskKind {
    /// Whether this is a virtual card (a loop device or a plain file), which serves tests and demonstrations.
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Loop { .. } | Self::File { .. })
    }
}

impl fmt::Display for DiskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SdCard => f.write_str("SD card"),
            Self::Usb => f.write_str("USB"),
            Self::SolderedEmmc => f.write_str("soldered eMMC"),
            Self::Internal { bus } => write!(f, "internal {bus}"),
            Self::Loop { backing: Some(file) } => write!(f, "loop over {}", file.display()),
            Self::Loop { backing: None } => f.write_str("loop"),
            Self::File { .. } => f.write_str("file"),
            Self::Other { why } => f.write_str(why),
        }
    }
}

impl Use {
    /// Whether the running system needs the disk for this use.
    pub fn is_system(&self) -> bool {
        match &self.role {
            Role::Swap => true,
            Role::Held => false,
            Role::Mounted { owner, .. } => *owner != MountOwner::User,
        }
    }

    /// The state of a disk with this use, for refusals: `a disk of the running system` or `in use`.
    pub fn disk_state(&self) -> &'static str {
        if self.is_system() { "a disk of the running system" } else { "in use" }
    }

    /// The word for programs of a refusal for this use.
    pub fn refusal_kind(&self) -> ReasonKind {
        if self.is_system() { ReasonKind::SystemDisk } else { ReasonKind::InUse }
    }

    /// This use as a use of the device `upper`, which is stacked on `device`: `device` becomes the first of `through`.
    #[must_use]
    pub fn into_use_of_upper(self, upper: &str) -> Self {
        let through = [vec![self.device], self.through].concat();
        Self { device: upper.to_owned(), through, role: self.role }
    }

    /// The topmost device, `loop3`, where it is a loop device that is neither mounted nor used as swap; else `None`.
    pub fn idle_loop_device(&self) -> Option<&str> {
        if self.role != Role::Held {
            return None;
        }
        let topmost = self.through.last()?;
        topmost.starts_with("loop").then_some(topmost)
    }
}

impl fmt::Display for Use {
    /// `sda2 is mounted at / through dm-0 (cryptroot)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, through, role } = self;
        let chain = through.join(", ");
        match role {
            Role::Held => {
                let relation = if self.idle_loop_device().is_some() { "behind" } else { "part of" };
                return write!(f, "{device} is {relation} {chain}");
            }
            Role::Swap => write!(f, "{device} is used as swap")?,
            Role::Mounted { at, owner } => {
                write!(f, "{device} is mounted at {}", at.display())?;
                if *owner == MountOwner::Configuration {
                    f.write_str(" by the configuration of this machine")?;
                }
            }
        }
        if !through.is_empty() {
            write!(f, " through {chain}")?;
        }
        Ok(())
    }
}

impl Disk {
    /// The product name, or `-` where it is unknown.
    pub fn title(&self) -> String {
        self.product_name().unwrap_or_else(|| "-".to_owned())
    }

    /// The vendor and the model; `None` where neither is known.
    fn product_name(&self) -> Option<String> {
        let words = [&self.vendor, &self.model].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        (!words.is_empty()).then(|| Plain(words.join(" ")).to_string())
    }

    /// The path, kind and size of the disk, and a second line with its product name and serial number as far as they
    /// are known, to stand beside a label of 8 columns.
    pub fn summary(&self) -> String {
        let first_line = format!("{} ({}, {})", self.path.display(), self.kind, Bytes(self.size));
        let serial = self.serial.as_ref().map(|serial| format!("serial number {}", Plain(serial)));
        let names = self.product_name().into_iter().chain(serial).collect::<Vec<_>>();
        if names.is_empty() {
            return first_line;
        }
        format!("{first_line}\n        {}", names.join(", "))
    }

    /// The partitions of the disk in one line: `FIRMWARE (vfat), NIXOS_SD (ext4)`.
    pub fn content(&self) -> String {
        if self.partitions.is_empty() {
            let is_unreadable = access(&self.path, Access::READ_OK) == Err(Errno::ACCESS);
            return if is_unreadable { "unreadable without root" } else { "no known partitions" }.to_owned();
        }
        self.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Partition {
    /// The label and the type of the file system, as far as they are known: `FIRMWARE (vfat)`; else `partition 2 of
    /// 29.3 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.fstype) {
            (Some(label), Some(fstype)) => write!(f, "{} ({})", Plain(label), Plain(fstype)),
            (Some(known), None) | (None, Some(known)) => Plain(known).fmt(f),
            (None, None) => write!(f, "partition {} of {}", self.number, Bytes(self.size)),
        }
    }
}
