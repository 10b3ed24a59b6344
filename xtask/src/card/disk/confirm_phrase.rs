//! The phrase that the user types to confirm that a disk may be overwritten.

use super::Disk;
use crate::base::Bytes;

/// The largest size of an ordinary card, in bytes. A card that is sold as 256 GB is smaller.
const LARGEST_USUAL_CARD: u64 = 256 << 30;
/// The size of the largest card of the standard SDXC, in bytes.
const LARGEST_CARD: u64 = 2 << 40;

/// The phrase that confirms a disk. For a disk that is large for a card, it is a phrase that nobody types by habit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmPhrase {
    /// The name of the device, with or without `/dev/`.
    Name(String),
    /// The serial number, for a disk that is large for a card.
    Serial(String),
    /// The size in bytes, for a large disk without a serial number.
    Size(u64),
}

impl Disk {
    /// The phrase that confirms this disk.
    pub fn confirm_phrase(&self) -> ConfirmPhrase {
        if self.size <= LARGEST_USUAL_CARD {
            return ConfirmPhrase::Name(self.name.clone());
        }
        match &self.serial {
            Some(serial) => ConfirmPhrase::Serial(serial.clone()),
            None => ConfirmPhrase::Size(self.size),
        }
    }

    /// A warning of a disk that is larger than ordinary cards, or than any card; `None` for other disks.
    pub fn size_warning(&self) -> Option<String> {
        let path = self.path.display();
        let size = Bytes(self.size);
        if self.size > LARGEST_CARD {
            return Some(format!(
                "{path} is larger than any SD card ({size}, and cards have up to 2 TiB): check that it is not a disk with \
                 your data"
            ));
        }
        if self.size > LARGEST_USUAL_CARD {
            return Some(format!(
                "{path} is large for a card ({size}): check that it is not a disk with your data"
            ));
        }
        None
    }
}

/// The phrases that confirm several disks at once, or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmPhrases(Vec<ConfirmPhrase>);

impl ConfirmPhrases {
    pub fn of(disks: &[&Disk]) -> Self {
        Self(disks.iter().map(|disk| disk.confirm_phrase()).collect())
    }

    /// The words for the phrases in the question to the user: `the names of all devices (sdb sdc)`.
    pub fn question(&self) -> String {
        let names = self.0.iter().map(|phrase| match phrase {
            ConfirmPhrase::Name(name) => Some(name.as_str()),
            _ => None,
        });
        match (&self.0[..], names.collect::<Option<Vec<_>>>()) {
            ([only], _) => only.question(),
            (_, Some(names)) => format!("the names of all devices ({})", names.join(" ")),
            (phrases, None) => phrases.iter().map(ConfirmPhrase::question).collect::<Vec<_>>().join(" and "),
        }
    }

    /// Whether `answer` has each phrase once, in any order.
    pub fn accepts(&self, answer: &str) -> bool {
        if let [only] = &self.0[..] {
            return only.accepts(answer);
        }
        let words = answer.split([' ', ',']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
        let is_typed = |phrase: &ConfirmPhrase| words.iter().any(|word| phrase.accepts(word));
        words.len() == self.0.len() && self.0.iter().all(is_typed)
    }
}

impl ConfirmPhrase {
    /// The words for the phrase in the question to the user: `the name of the device (sdb)`.
    pub fn question(&self) -> String {
        match self {
            Self::Name(name) => format!("the name of the device ({name})"),
            Self::Serial(serial) => format!("the serial number of this large disk ({serial})"),
            Self::Size(size) => format!("the size of this large disk in bytes ({size})"),
        }
    }

    /// Whether `answer` is the phrase.
    pub fn accepts(&self, answer: &str) -> bool {
        let answer = answer.trim();
        match self {
            Self::Name(name) => answer.strip_prefix("/dev/").unwrap_or(answer) == name,
            Self::Serial(serial) => answer == serial,
            Self::Size(size) => answer == size.to_string(),
        }
    }
}
