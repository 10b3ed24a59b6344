//! `config.txt` as the firmware of one board reads it: the settings of the sections that apply, with included files.
//!
//! Source: the Raspberry Pi documentation, `config_txt` (`what_is_config_txt.adoc`, `conditional.adoc`).

mod filters;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bail;
use crate::boot::board::Board;
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
    lines: usize,
    bytes: usize,
}

impl ConfigTxt {
    /// Reads `file` of `firmware`, which is [`CONFIG`] or [`AUTOBOOT`], as `board` does; `None` where there is no such
    /// file.
    ///
    /// # Errors
    /// Files that include each other in a circle, too many lines, and a file that cannot be read.
    pub fn read(firmware: &impl CardFirmware, board: Board, file: &str) -> Result<Option<Self>> {
        let Some(text) = firmware.text(file)? else { return Ok(None) };
        let mut config = Self::default();
        config.add_text(firmware, board, &text, &mut Filters::default(), 0)?;
        Ok(Some(config))
    }

    /// Adds the lines of `text`, which `depth` files include in turn. An included file continues the section that
    /// includes it.
    fn add_text(
        &mut self,
        firmware: &impl CardFirmware,
        board: Board,
        text: &str,
        filters: &mut Filters,
        depth: usize,
    ) -> Result<()> {
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
                filters.set(filter, board, firmware.partition());
            } else if !filters.apply() {
            } else if let Some(file) = line.strip_prefix("include ") {
                if depth == MAX_DEPTH {
                    bail!(Verification, "config.txt includes files more than {MAX_DEPTH} deep");
                }
                // The firmware goes on without an included file that does not exist.
                let included = firmware.text(file.trim())?.unwrap_or_default();
                self.add_text(firmware, board, &included, filters, depth + 1)?;
            } else {
                self.add_line(line);
            }
        }
        Ok(())
    }

    /// Adds the setting of `line`.
    fn add_line(&mut self, line: &str) {
        let read = line.char_indices().nth(MAX_LINE).map_or(line, |(end, _)| &line[..end]);
        if read.starts_with('#') {
            return;
        }
        if read.len() < line.len() {
            let name = read.split(['=', ' ']).next().unwrap_or_default();
            self.is_cut |= !push(&mut self.truncated, name);
        }
        // The only setting without an equals sign.
        if let Some(words) = read.strip_prefix("initramfs ") {
            self.add_initramfs(words.split_whitespace().next().unwrap_or_default());
            return;
        }
        let Some((name, value)) = read.split_once('=') else { return };
        let value = value.trim();
        match name.trim() {
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

/// Adds `item`, unless `items` has [`MAX_ITEMS`]. Returns whether `item` was added.
fn push(items: &mut Vec<String>, item: &str) -> bool {
    let has_room = items.len() < MAX_ITEMS;
    items.extend(has_room.then(|| item.to_owned()));
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::firmware::tests::MemoryFirmware;

    fn read(board: Board, files: &[(&str, &str)]) -> ConfigTxt {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        ConfigTxt::read(&MemoryFirmware(files.collect()), board, CONFIG).unwrap().unwrap()
    }

    fn kernel(board: Board, text: &str) -> String {
        read(board, &[(CONFIG, text)]).file("kernel").unwrap_or("-").to_owned()
    }

    #[test]
    fn a_section_applies_to_its_boards() {
        let models = "kernel=all\n[pi3]\nkernel=3\n[pi3+]\nkernel=3+\n[pi02]\nkernel=02\n[pi4]\nkernel=4\n[cm4]\nkernel=cm4\n\
                      [pi5]\nkernel=5\n[board-type=0x18]\nkernel=cm5\n";
        for (board, expected) in [
            (Board::Pi3, "3"),
            (Board::Pi3Plus, "3+"),
            (Board::Pi02, "02"),
            (Board::Cm3, "3"),
            (Board::Pi4, "4"),
            (Board::Pi400, "4"),
            (Board::Cm4, "cm4"),
            (Board::Pi5, "5"),
            (Board::Pi500, "5"),
            (Board::Cm5, "cm5"),
        ] {
            assert_eq!(kernel(board, models), expected, "{board}");
        }
    }

    #[test]
    fn filters_of_one_kind_replace_each_other_and_others_combine() {
        for (text, expected) in [
            ("[pi3]\n[pi4]\nkernel=a\n", "a"),
            ("[pi4]\n[pi3]\nkernel=a\n", "-"),
            ("[none]\n[pi4]\nkernel=a\n", "-"),
            ("[none]\n[all]\nkernel=a\n", "a"),
            ("[tryboot]\nkernel=a\n[all]\n", "-"),
            ("[gpio4=1]\n[pi4]\nkernel=a\n", "-"),
            ("[EDID=x]\nkernel=a\n[all]\nkernel=b\n", "b"),
            ("[0x12345678]\nkernel=a\n", "-"),
            ("[pi9]\nkernel=a\n", "-"),
            ("[boot_partition=1]\nkernel=a\n[boot_partition=2]\nkernel=b\n", "a"),
            ("[HDMI:1]\nhdmi_group=1\n[pi4]\nkernel=a\n", "a"),
            ("[board-type=0x11]\nkernel=a\n", "a"),
            ("[board-type=17]\nkernel=a\n", "a"),
            ("[board-type=0x14]\nkernel=a\n", "-"),
            ("#kernel=a\n", "-"),
            ("  kernel = a \r\n", "a"),
            ("kernel=a\nkernel=b\n", "b"),
            ("kernel=\n", "-"),
        ] {
            assert_eq!(kernel(Board::Pi4, text), expected, "{text:?}");
        }
    }

    #[test]
    fn included_files_are_read_in_their_section() {
        let files = [
            (CONFIG, "[pi4]\ninclude four.txt\ninclude absent.txt\n[all]\ninclude Sub/all.txt\n"),
            ("four.txt", "kernel=a\n[pi3]\nkernel=b\n"),
            ("sub/ALL.txt", "initramfs one,two followkernel\nramfsfile=three\ndtoverlay=x,y=z\ndtoverlay=\n"),
        ];
        let found = read(Board::Pi4, &files);
        assert_eq!(found.file("kernel"), Some("a"));
        assert_eq!(found.initramfs, ["one", "two", "three"]);
        assert_eq!(found.overlays, ["x"]);
        let circle = MemoryFirmware([(CONFIG.to_owned(), b"include config.txt\n".to_vec())].into());
        let error = ConfigTxt::read(&circle, Board::Pi4, CONFIG).unwrap_err();
        assert_eq!(error.to_string(), "config.txt includes files more than 8 deep");
    }

    #[test]
    fn the_firmware_reads_98_characters_of_a_line() {
        let long = format!("kernel={}x\narm_64bit=0x1\n", "k".repeat(91));
        let found = read(Board::Pi4, &[(CONFIG, &long)]);
        assert_eq!(found.file("kernel").unwrap().len(), 91);
        assert_eq!(found.truncated, ["kernel"]);
        assert!(found.is_on("arm_64bit"));
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(
            &["[pi4]\nkernel=a\ninclude config.txt\n[board-type=0x11]\n[none]\n[all]\ninitramfs a,b 0\n"],
            |text| {
                let firmware = MemoryFirmware([(CONFIG.to_owned(), text.as_bytes().to_vec())].into());
                ConfigTxt::read(&firmware, Board::Pi4, CONFIG).is_ok()
            },
        );
    }
}
