//! What the user types to confirm that a disk may be overwritten.

use super::Disk;

/// No card is larger so far as this tool presumes; in bytes. A card sold with 256 GB is smaller.
const LARGE: u64 = 256 << 30;

/// The text that confirms, chosen so that it cannot be typed by habit where the disk is unusual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmPhrase {
    /// The name of the device, with or without `/dev/`.
    Name(String),
    /// For a disk that is large for a card.
    Serial(String),
    /// For a large disk without a serial number: its size in bytes.
    Size(u64),
}

impl Disk {
    pub fn confirm_phrase(&self) -> ConfirmPhrase {
        match &self.serial {
            _ if self.size <= LARGE => ConfirmPhrase::Name(self.name.clone()),
            Some(serial) => ConfirmPhrase::Serial(serial.clone()),
            None => ConfirmPhrase::Size(self.size),
        }
    }
}

impl ConfirmPhrase {
    /// What to ask for: `the name of the device (sdb)`.
    pub fn question(&self) -> String {
        match self {
            Self::Name(name) => format!("the name of the device ({name})"),
            Self::Serial(serial) => format!("the serial number of this large disk ({serial})"),
            Self::Size(size) => format!("the size of this large disk in bytes ({size})"),
        }
    }

    pub fn accepts(&self, answer: &str) -> bool {
        let answer = answer.trim();
        match self {
            Self::Name(name) => answer.strip_prefix("/dev/").unwrap_or(answer) == name,
            Self::Serial(serial) => answer == serial,
            Self::Size(size) => answer == size.to_string(),
        }
    }
}
