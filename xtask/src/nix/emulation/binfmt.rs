//! Reads `binfmt_misc`, the kernel's table of interpreters for programs of other systems.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The state of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinfmtTable {
    NotMounted,
    /// The file `status` contains `disabled`: no entry counts.
    Disabled,
    /// All entries for magic bytes, the newest first: the kernel tries them in this order.
    Entries(Vec<BinfmtEntry>),
}

/// A binfmt entry: the kernel hands programs whose first bytes match to the interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinfmtEntry {
    pub name: String,
    pub enabled: bool,
    pub interpreter: PathBuf,
    /// The flag F: the kernel opened the interpreter when the entry was made, so it works in every sandbox, even after
    /// the file was removed.
    pub fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    /// The mask, as long as the magic; empty where every bit counts.
    mask: Vec<u8>,
}

impl BinfmtTable {
    /// Reads the table at its mount point `dir` (`/proc/sys/fs/binfmt_misc`).
    pub fn load(dir: &Path) -> Self {
        let status = std::fs::read_to_string(dir.join("status"));
        match status.as_deref().map(str::trim) {
            Err(_) => return Self::NotMounted,
            Ok("disabled") => return Self::Disabled,
            Ok(_) => {}
        }
        let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut entries = files.filter_map(|file| load_entry(&file.path())).collect::<Vec<_>>();
        entries.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        Self::Entries(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The entry that the kernel uses for a program that begins with `head`; `None` where no enabled entry matches.
    pub fn matching_entry(&self, head: &[u8]) -> Option<&BinfmtEntry> {
        match self {
            Self::Entries(entries) => entries.iter().find(|entry| entry.enabled && entry.matches(head)),
            Self::NotMounted | Self::Disabled => None,
        }
    }
}

/// The time when the entry in `file` was made, and the entry; `None` where `file` has no entry for magic bytes.
fn load_entry(file: &Path) -> Option<(SystemTime, BinfmtEntry)> {
    let created = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let name = file.file_name()?.to_str()?;
    let text = std::fs::read_to_string(file).ok()?;
    Some((created, BinfmtEntry::parse(name, &text)?))
}

impl BinfmtEntry {
    /// Parses the text of an entry's file; `None` for any other text, such as that of an entry for file extensions or
    /// that of the file `status`.
    pub fn parse(name: &str, text: &str) -> Option<Self> {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        Some(Self {
            name: name.to_owned(),
            enabled: text.lines().next()? == "enabled",
            interpreter: value("interpreter ")?.into(),
            fixed: value("flags:").is_some_and(|flags| flags.contains('F')),
            offset: value("offset ")?.parse().ok()?,
            magic: parse_hex(value("magic ")?)?,
            mask: value("mask ").map_or(Some(Vec::new()), parse_hex)?,
        })
    }

    /// Whether a program that begins with `head` matches this entry.
    pub fn matches(&self, head: &[u8]) -> bool {
        let compared = head.get(self.offset..).and_then(|rest| rest.get(..self.magic.len()));
        let Some(compared) = compared else { return false };
        // Without a mask every bit counts.
        let masks = self.mask.iter().copied().chain(std::iter::repeat(0xff));
        compared.iter().zip(&self.magic).zip(masks).all(|((byte, magic), mask)| byte & mask == magic & mask)
    }
}

/// Parses pairs of hexadecimal digits, one pair a byte; `None` for other text.
fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::probe::Architecture;
    use super::*;

    const MAGIC: &str = "7f454c460201010000000000000000000200b700";
    const DEBIAN: &str = "ffffffffffffff00fffffffffffffffffeffffff";
    const NIXOS: &str = "ffffffffffffff00ffffffffffff00fffeffffff";

    fn program() -> Vec<u8> {
        Architecture::of("aarch64-linux").unwrap().program()
    }

    fn entry(offset: usize, magic: &str, mask: &str) -> BinfmtEntry {
        let text =
            format!("enabled\ninterpreter /q\nflags: POF\noffset {offset}\nmagic {magic}\nmask {mask}\n");
        BinfmtEntry::parse("q", &text).unwrap()
    }

    #[test]
    fn an_entry_matches_programs_by_magic_and_mask() {
        for (offset, magic, mask, expected) in [
            (0, MAGIC, DEBIAN, true),
            (0, MAGIC, NIXOS, true),
            (18, "b700", "ffff", true),
            (0, "7f454c46", "00000000", true),
            (0, &MAGIC.replace("b7", "f3"), DEBIAN, false),
            (0, &MAGIC.replace("0201", "0101"), DEBIAN, false),
            (100_000, "b700", "ffff", false),
        ] {
            assert_eq!(entry(offset, magic, mask).matches(&program()), expected, "{offset} {magic} {mask}");
        }
        let without_mask =
            BinfmtEntry::parse("q", "enabled\ninterpreter /q\nflags: \noffset 0\nmagic 7f45\n").unwrap();
        assert!(without_mask.matches(&program()) && !without_mask.fixed);
    }

    #[test]
    fn other_texts_are_no_entries() {
        for text in [
            "enabled\n",
            "",
            "enabled\ninterpreter /q\nflags: \nextension .py\n",
            "enabled\ninterpreter /q\nflags: \noffset 0\nmagic zz\n",
        ] {
            assert_eq!(BinfmtEntry::parse("q", text), None, "{text:?}");
        }
    }

    #[test]
    fn the_newest_entry_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("status"), "enabled\n").unwrap();
        for (age, name) in [(20, "old"), (10, "new"), (30, "oldest")] {
            let file = dir.path().join(name);
            std::fs::write(&file, format!("enabled\ninterpreter /{name}\nflags: F\noffset 0\nmagic 7f\n"))
                .unwrap();
            let made = SystemTime::now() - std::time::Duration::from_secs(age);
            std::fs::File::open(&file).unwrap().set_modified(made).unwrap();
        }
        let BinfmtTable::Entries(entries) = BinfmtTable::load(dir.path()) else { panic!("not read") };
        let names = entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["new", "old", "oldest"]);
    }

    #[test]
    fn a_table_may_be_disabled_or_not_mounted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(BinfmtTable::load(dir.path()), BinfmtTable::NotMounted);
        std::fs::write(dir.path().join("status"), "disabled\n").unwrap();
        assert_eq!(BinfmtTable::load(dir.path()), BinfmtTable::Disabled);
    }

    #[test]
    fn a_huge_offset_matches_nothing() {
        assert!(!entry(usize::MAX, "b700", "ffff").matches(&program()));
    }

    #[test]
    fn fuzz() {
        let sample =
            format!("enabled\ninterpreter /q\nflags: POF\noffset 18\nmagic {MAGIC}\nmask {DEBIAN}\n");
        let head = program();
        crate::base::fuzz::check_text(&[&sample], |text| {
            BinfmtEntry::parse("q", text).is_some_and(|entry| entry.matches(&head))
        });
    }
}
