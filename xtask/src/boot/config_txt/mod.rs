//! `config.txt` as the firmware of one board reads it: the settings of the sections that apply, with included files.
//!
//! Source: the Raspberry Pi documentation, `config_txt` (`what_is_config_txt.adoc`, `conditional.adoc`). The documents
//! leave open what the firmware makes of two kinds of lines, see [`Reading`].

mod filters;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bail;
use crate::boot::board::{Board, Family};
use crate::boot::board_fault::shorten;
use crate::boot::firmware::CardFirmware;
use filters::{Filters, parse_number};

/// The name of the file.
pub const CONFIG: &str = "config.txt";
/// The name of the file, in the same form, with the partition from which the firmware starts.
pub const AUTOBOOT: &str = "autoboot.txt";

/// The number of characters of a line that the firmware reads.
const MAX_LINE: usize = 98;

/// How many files may include each other in turn. The firmware has its own limit, which is not documented.
const MAX_DEPTH: usize = 8;

/// How many lines are read of all files together.
const MAX_LINES: usize = 20_000;

/// How many bytes are read of all files together: an included file is read each time.
const MAX_TEXT: usize = 4 << 20;

/// How many overlays, and how many other files of one kind, are kept.
pub const MAX_ITEMS: usize = 256;

/// How lines are read of which the documents leave open what the firmware makes of them.
///
/// - `include` on a board whose whole firmware is in the EEPROM. By the documentation "the EEPROM bootloader" does not
///   support it; the sentence is of 2020, when that was the Pi 4, whose `start4.elf` reads the file again.
/// - Blanks around the equals sign. The Raspberry Pi documentation has `property=value` and says nothing of blanks;
///   by that of Ubuntu they are not ignored. Blanks before a line are in the examples of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The line has its effect.
    Lenient,
    /// The line has none.
    Strict,
}

/// The settings of one board.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigTxt {
    /// The last value of each setting.
    settings: BTreeMap<String, String>,
    /// The names of the overlays, in order.
    pub overlays: Vec<String>,
    /// The files of `initramfs` and `ramfsfile`, in order.
    pub initramfs: Vec<String>,
    /// The settings that begin in the part of a line that the firmware does not read.
    pub truncated: Vec<String>,
    /// Whether there are more overlays or files than [`MAX_ITEMS`].
    pub is_cut: bool,
    /// The first line that has an effect by one [`Reading`] only.
    pub doubtful: Option<String>,
}

impl ConfigTxt {
    /// Reads `file` of `firmware`, which is [`CONFIG`] or [`AUTOBOOT`], as `board` does; `None` where there is no such
    /// file.
    ///
    /// # Errors
    /// Files that include each other in a circle, too many lines, and a file that cannot be read.
    pub fn read(
        firmware: &impl CardFirmware,
        board: Board,
        file: &str,
        reading: Reading,
    ) -> Result<Option<Self>> {
        let Some(text) = firmware.text(file)? else { return Ok(None) };
        let mut reader = Reader { config: Self::default(), firmware, board, reading, lines: 0, bytes: 0 };
        reader.add_text(&text, &mut Filters::default(), 0)?;
        Ok(Some(reader.config))
    }

    /// Adds the setting `name`.
    fn add_setting(&mut self, name: &str, value: &str) {
        match name {
            "dtoverlay" | "device_tree_overlay" => {
                let name = value.split(',').next().unwrap_or_default();
                if !name.is_empty() {
                    self.is_cut |= !push(&mut self.overlays, name);
                }
            }
            "ramfsfile" => self.add_initramfs(value),
            name => {
                self.settings.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Adds the `files` of an initramfs, which are separated by commas.
    fn add_initramfs(&mut self, files: &str) {
        for file in files.split(',').filter(|file| !file.is_empty()) {
            self.is_cut |= !push(&mut self.initramfs, file);
        }
    }

    /// The value of the setting `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// The value of the setting `name`, unless it is empty.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The number of the setting `name`, decimal or hexadecimal.
    pub fn number(&self, name: &str) -> Option<u64> {
        parse_number(self.get(name)?)
    }

    /// Whether the number of the setting `name` is set, and not 0.
    pub fn is_on(&self, name: &str) -> bool {
        self.number(name).is_some_and(|value| value != 0)
    }
}

/// A file as it is read, with the files that it includes.
struct Reader<'a, F> {
    config: ConfigTxt,
    firmware: &'a F,
    board: Board,
    reading: Reading,
    /// The lines and bytes so far.
    lines: usize,
    bytes: usize,
}

impl<F: CardFirmware> Reader<'_, F> {
    /// Adds the lines of `text`, which `depth` files include in turn. An included file continues the section that
    /// includes it.
    fn add_text(&mut self, text: &str, filters: &mut Filters, depth: usize) -> Result<()> {
        self.bytes += text.len();
        if self.bytes > MAX_TEXT {
            bail!(Verification, "config.txt has more than {MAX_TEXT} bytes, with the files that it includes");
        }
        for line in text.lines() {
            self.lines += 1;
            if self.lines > MAX_LINES {
                bail!(
                    Verification,
                    "config.txt has more than {MAX_LINES} lines, with the files that it includes"
                );
            }
            let line = line.trim();
            if let Some(filter) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                filters.set(filter, self.board, self.firmware.partition());
            } else if !filters.apply() {
            } else if let Some(file) = line.strip_prefix("include ") {
                self.include(line, file.trim(), filters, depth)?;
            } else {
                self.add_line(line);
            }
        }
        Ok(())
    }

    /// Adds the lines of `file`, which `line` includes.
    fn include(&mut self, line: &str, file: &str, filters: &mut Filters, depth: usize) -> Result<()> {
        if depth == MAX_DEPTH {
            bail!(Verification, "config.txt includes files more than {MAX_DEPTH} deep");
        }
        // The firmware goes on without an included file that does not exist.
        let Some(included) = self.firmware.text(file)? else { return Ok(()) };
        let is_doubtful = self.board.facts().family == Family::Bcm2712;
        if is_doubtful && !self.has_effect(line) {
            return Ok(());
        }
        self.add_text(&included, filters, depth + 1)
    }

    /// Notes the doubtful `line`, and returns whether it has an effect.
    fn has_effect(&mut self, line: &str) -> bool {
        self.config.doubtful.get_or_insert_with(|| shorten(line.to_owned(), MAX_LINE));
        self.reading == Reading::Lenient
    }

    /// Adds the setting of `line`.
    fn add_line(&mut self, line: &str) {
        let read = line.char_indices().nth(MAX_LINE).map_or(line, |(end, _)| &line[..end]);
        if read.starts_with('#') {
            return;
        }
        if read.len() < line.len() {
            let name = read.split(['=', ' ']).next().unwrap_or_default();
            self.config.is_cut |= !push(&mut self.config.truncated, name);
        }
        // The only setting without an equals sign.
        if let Some(words) = read.strip_prefix("initramfs ") {
            self.config.add_initramfs(words.split_whitespace().next().unwrap_or_default());
            return;
        }
        let Some((name, value)) = read.split_once('=') else { return };
        let has_blanks = name.trim_end() != name || value.trim_start() != value;
        if !has_blanks || self.has_effect(read) {
            self.config.add_setting(name.trim(), value.trim());
        }
    }
}

/// Adds `item`, unless `items` has [`MAX_ITEMS`]. Returns whether `item` was added.
fn push(items: &mut Vec<String>, item: &str) -> bool {
    let has_room = items.len() < MAX_ITEMS;
    items.extend(has_room.then(|| item.to_owned()));
    has_room
}

#[cfg(test)]
mod tests;
