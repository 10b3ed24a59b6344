//! The facts about a disk.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Bytes, Plain};

/// A whole disk, or a plain file that stands for a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name, `mmcblk0`; for a plain file its file name.
    pub name: String,
    /// The device node, `/dev/mmcblk0`; for a plain file its absolute path.
    pub path: PathBuf,
    /// The device number; a plain file has none.
    pub number: Option<Number>,
    /// In bytes; 0 means that there is no medium in the drive.
    pub size: u64,
    /// The logical sector size, in bytes.
    pub sector_size: u32,
    pub read_only: bool,
    pub kind: Kind,
    pub vendor: Option<String>,
    pub model: Option<String>,
    /// The serial number; for an SD card its CID, which is unique where the short serial is not.
    pub serial: Option<String>,
    /// The kernel's count of media: another card in the same slot has another number (Linux 5.15).
    pub diskseq: Option<u64>,
    pub partitions: Vec<Partition>,
    /// Everything that uses the disk or a part of it now.
    pub uses: Vec<Use>,
}

/// What a disk is, as far as it matters for a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// In a card slot of the machine.
    SdCard,
    /// A stick, a disk or a card reader behind USB. Readers often say `removable` 0.
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
    /// A plain file as a virtual card, known by where it is stored.
    File {
        device: u64,
        inode: u64,
    },
    /// No disk that could be a card; `why` continues "it is ...".
    Other {
        why: String,
    },
}

/// A part of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The kernel's name, `mmcblk0p1`; none where the kernel has not scanned the partition table.
    pub name: Option<String>,
    /// 0 for a file system on the whole disk.
    pub number: u32,
    /// In bytes from the start of the disk.
    pub start: u64,
    /// In bytes.
    pub size: u64,
    /// The label of its filesystem.
    pub label: Option<String>,
    /// The type of its filesystem in udev's words, `vfat`.
    pub fstype: Option<String>,
}

/// One reason why the disk is busy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The disk or partition that is used, `sda2`.
    pub device: String,
    /// What lies between it and its use, from the disk outwards: `dm-0 (cryptroot)`.
    pub through: Vec<String>,
    pub role: Role,
}

/// What a disk is used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Role {
    Mounted {
        at: PathBuf,
    },
    Swap,
    /// Part of something that is neither mounted nor swapped to: an array, a volume group, a pool.
    Held,
}

/// A device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Number {
    pub major: u32,
    pub minor: u32,
}

impl Number {
    /// From the form of `stat(2)`.
    pub fn from_raw(raw: u64) -> Self {
        Self { major: rustix::fs::major(raw), minor: rustix::fs::minor(raw) }
    }

    /// From the form of sysfs and mountinfo, `179:0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Kind {
    /// A loop device or a plain file: only for tests and demonstrations.
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Loop { .. } | Self::File { .. })
    }
}

impl fmt::Display for Kind {
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

/// The places of the running system. A card is mounted elsewhere: in `/media`, `/run/media` or `/mnt`.
const SYSTEM: [&str; 12] =
    ["/boot", "/efi", "/etc", "/gnu", "/home", "/nix", "/opt", "/persist", "/root", "/srv", "/usr", "/var"];

impl Use {
    /// Whether the running system would suffer, and not just somebody looking at a card.
    pub fn is_system(&self) -> bool {
        match &self.role {
            Role::Swap => true,
            Role::Held => false,
            Role::Mounted { at } => at == Path::new("/") || SYSTEM.iter().any(|place| at.starts_with(place)),
        }
    }
}

impl Use {
    /// The same as a use of `device`, which stands on the device that is used.
    #[must_use]
    pub fn below(self, device: &str) -> Self {
        let through = [vec![self.device], self.through].concat();
        Self { device: device.to_owned(), through, role: self.role }
    }

    /// The virtual device that stands on it, `loop3`, where nothing else is known of its use.
    pub fn loop_device(&self) -> Option<&str> {
        let top = self.through.last().filter(|_| self.role == Role::Held)?;
        top.starts_with("loop").then_some(top)
    }
}

impl fmt::Display for Use {
    /// `sda2 is mounted at / through dm-0 (cryptroot)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, through, role } = self;
        let chain = through.join(", ");
        match role {
            Role::Held if self.loop_device().is_some() => write!(f, "{device} is behind {chain}"),
            Role::Held => write!(f, "{device} is part of {chain}"),
            Role::Mounted { at } => write!(f, "{device} is mounted at {}", at.display()),
            Role::Swap => write!(f, "{device} is used as swap"),
        }?;
        if through.is_empty() || matches!(role, Role::Held) {
            return Ok(());
        }
        write!(f, " through {chain}")
    }
}

impl Disk {
    /// Vendor and model, as far as they are known.
    pub fn title(&self) -> String {
        let words = [&self.vendor, &self.model].into_iter().flatten().map(String::as_str);
        let title = words.collect::<Vec<_>>().join(" ");
        if title.is_empty() { "-".to_owned() } else { Plain(title).to_string() }
    }

    /// Which disk it is, beside a label of 8 columns: where, what, how large, and what is known of it.
    pub fn summary(&self) -> String {
        let title = Some(self.title()).filter(|title| title != "-");
        let serial = self.serial.as_ref().map(|serial| format!("serial number {}", Plain(serial)));
        let known = title.into_iter().chain(serial).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { known } else { format!("\n        {known}") };
        format!("{} ({}, {}){known}", self.path.display(), self.kind, Bytes(self.size))
    }

    /// What would be lost, in one line: `FIRMWARE (vfat), NIXOS_SD (ext4)`.
    pub fn content(&self) -> String {
        let parts = self.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        if parts.is_empty() { "nothing that is known".to_owned() } else { parts.join(", ") }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.fstype) {
            (Some(label), Some(fstype)) => write!(f, "{} ({})", Plain(label), Plain(fstype)),
            (Some(name), None) | (None, Some(name)) => Plain(name).fmt(f),
            (None, None) => write!(f, "partition {} of {}", self.number, Bytes(self.size)),
        }
    }
}
