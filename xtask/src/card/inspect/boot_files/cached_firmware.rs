//! The FIRMWARE of a card, as the proof of boards reads it.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::HashMap;

use super::volume::Volume;
use super::{firmware_volume, open_fat};
use crate::boot::{CardFirmware, MAX_CONFIG, MAX_PROGRAM, Program};
use crate::card::inspect::fat::Fat;
use crate::card::inspect::{Budget, ReadAt};

/// The FIRMWARE of a card. Boards share their U-Boot, which is read once.
pub struct CachedFirmware<'a> {
    fat: Fat<'a>,
    /// The number of the partition.
    partition: u32,
    programs: RefCell<HashMap<String, Option<Program>>>,
}

impl<'a> CachedFirmware<'a> {
    /// Opens the first partition with FAT.
    ///
    /// # Errors
    /// No such partition, and one that cannot be read.
    pub fn open(disk: &'a dyn ReadAt, volumes: &[Volume], budget: &Budget<'a>) -> Result<Self> {
        let volume = firmware_volume(volumes)?;
        let doing = || format!("reading {} on partition {}", volume.label, volume.partition.number);
        let fat = open_fat(disk, volume, budget).with_context(doing)?;
        Ok(Self { fat, partition: volume.partition.number, programs: RefCell::default() })
    }
}

impl CardFirmware for CachedFirmware<'_> {
    fn text(&self, path: &str) -> Result<Option<String>> {
        let text = self.fat.read_within(path, MAX_CONFIG)?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn partition(&self) -> u32 {
        self.partition
    }

    fn size(&self, path: &str) -> Result<Option<u64>> {
        self.fat.size(path)
    }

    fn program(&self, path: &str) -> Result<Option<Program>> {
        if let Some(known) = self.programs.borrow().get(path) {
            return Ok(known.clone());
        }
        let read = self.fat.beginning(path, MAX_PROGRAM)?;
        let program = read.map(|(size, bytes)| Program::of(&bytes, size));
        self.programs.borrow_mut().insert(path.to_owned(), program.clone());
        Ok(program)
    }
}
