//! The files of FIRMWARE that the firmware of a Pi and U-Boot read.

use anyhow::Result;

use super::addresses::Addresses;
use super::program::Program;

/// The size of the largest `config.txt`, in bytes.
pub const MAX_CONFIG: u32 = 1 << 20;

/// The root folder of FIRMWARE, of a card, of a host or of a built system. The case of names does not matter on FAT.
pub trait Firmware {
    /// The text of `config.txt`; `None` where there is none.
    fn config(&self) -> Result<Option<String>>;

    /// Whether there is a file `name`.
    fn has(&self, name: &str) -> Result<bool>;

    /// The facts about the file `name`; `None` where there is no such file.
    fn file(&self, name: &str) -> Result<Option<FirmwareFile>>;
}

/// A FIRMWARE whose files can be read, for the proof that a board boots from it. Paths have folders, divided by `/`.
pub trait CardFirmware {
    /// The text of the file `path`; `None` where there is none.
    fn text(&self, path: &str) -> Result<Option<String>>;

    /// The number of the partition.
    fn partition(&self) -> u32;

    /// The size of the file `path` in bytes; `None` where there is no such file.
    fn size(&self, path: &str) -> Result<Option<u64>>;

    /// The program in the file `path`; `None` where there is no such file.
    fn program(&self, path: &str) -> Result<Option<Program>>;
}

/// The facts about a file that the firmware may start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirmwareFile {
    pub is_empty: bool,
    /// The addresses of a U-Boot; `None` for a kernel that needs no U-Boot.
    pub addresses: Option<Addresses>,
}

impl FirmwareFile {
    /// The facts about a file with the content `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { is_empty: bytes.is_empty(), addresses: Addresses::find_in(bytes) }
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A FIRMWARE in memory: the content of each file by its path.
    pub struct MemoryFirmware(pub BTreeMap<String, Vec<u8>>);

    impl MemoryFirmware {
        fn content(&self, path: &str) -> Option<&[u8]> {
            let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(path))?;
            Some(found.1)
        }
    }

    impl CardFirmware for MemoryFirmware {
        fn text(&self, path: &str) -> Result<Option<String>> {
            Ok(self.content(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        }

        fn partition(&self) -> u32 {
            1
        }

        fn size(&self, path: &str) -> Result<Option<u64>> {
            Ok(self.content(path).map(|bytes| bytes.len() as u64))
        }

        fn program(&self, path: &str) -> Result<Option<Program>> {
            Ok(self.content(path).map(|bytes| Program::of(bytes, bytes.len() as u64)))
        }
    }
}
