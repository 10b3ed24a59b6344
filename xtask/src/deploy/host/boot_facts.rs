//! The facts that decide whether the host boots a new system: its FIRMWARE, its partitions, its board and its boot
//! folder. The script `boot_facts.sh` prints them on the host, as root; this module parses its lines.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::excerpt::truncate;
use super::probe::root_prefix;
use super::query::{Answer, CLOSURE_TIMEOUT, Query};
use super::ssh::Remote;
use crate::base::shell;
use crate::boot::{Addresses, Firmware, FirmwareFile, HostBoard, Scan};
use crate::deploy::target::Target;
use crate::nix::StorePath;

/// The script that prints the facts; see the file.
const SCRIPT: &str = include_str!("boot_facts.sh");

/// The part of an answer that the script prints.
const PART: &str = "boot-facts";

/// How many lines of the answer are read: a FIRMWARE has some hundred files.
const MAX_LINES: usize = 20_000;

/// The answer of a host about its boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BootAnswer {
    #[default]
    NotAsked,
    /// U-Boot does not start the host, the tool may not ask as root, or the answer is not whole.
    Unknown,
    Known(Box<BootFacts>),
}

/// The facts of a host that U-Boot starts from an `extlinux.conf`, by a FIRMWARE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFacts {
    /// The folder with `extlinux/` and `nixos/`, such as `/nix/boot`.
    pub folder: String,
    /// The text of `config.txt`.
    config: Option<String>,
    /// The SHA-256 of the files on FIRMWARE, in hexadecimal, by their paths in lower case.
    sums: BTreeMap<String, String>,
    /// The files on FIRMWARE without content, by their paths in lower case.
    empty: BTreeSet<String>,
    /// The files on FIRMWARE that are a U-Boot, with the addresses to which it loads kernel and device tree.
    uboots: BTreeMap<String, Addresses>,
    /// The FIRMWARE that the host's own `update-firmware` would write.
    pub updater: Option<StorePath>,
    /// The disk with the boot menu, such as `mmcblk0`, and what U-Boot scans of it; `None` where it has no partition
    /// table.
    pub scan: Option<(String, Scan)>,
    /// The names of the files that the generations in the boot menu have in the boot folder.
    pub kept: BTreeSet<String>,
    /// Free space in the boot folder, in bytes.
    pub free: Option<u64>,
    /// Whether the boot folder shares its file system with the Nix store.
    pub shares_store: bool,
    pub board: HostBoard,
}

impl BootAnswer {
    /// Adds the script to `query`. The host skips the script if the command `skip_if` succeeds.
    pub fn add_queries(query: &mut Query, skip_if: &str, target: &Target) {
        let script = format!("{}sh -c {}", root_prefix(target), shell::quote(&without_comments(SCRIPT)));
        query.add(PART, &format!("{skip_if} || {script} || echo asked=no"));
    }

    /// Runs the script on the host.
    pub fn ask(remote: &Remote, target: &Target) -> Result<Self> {
        let mut query = Query::new("the query of the boot files")?;
        Self::add_queries(&mut query, "false", target);
        Ok(Self::read(&remote.query(&query, CLOSURE_TIMEOUT)?))
    }

    /// Reads the part of an answer that the script printed; [`Self::NotAsked`] if the script printed nothing.
    pub fn read(answer: &Answer) -> Self {
        let mut lines = answer.lines(PART).take(MAX_LINES).filter_map(|line| line.split_once('=')).peekable();
        if lines.peek().is_none() {
            return Self::NotAsked;
        }
        match BootFacts::parse(lines) {
            Some(facts) => Self::Known(Box::new(facts)),
            None => Self::Unknown,
        }
    }

    /// The facts, if the host answered with them.
    pub fn facts(&self) -> Option<&BootFacts> {
        match self {
            Self::Known(facts) => Some(facts),
            _ => None,
        }
    }
}

impl BootFacts {
    /// Reads the facts from lines of a key and a value. `None` if the last line is missing, or if the host has no boot
    /// folder or no files on FIRMWARE.
    fn parse<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut facts = Self::default();
        let mut scan = Scan::default();
        let mut disk = None;
        let mut has_table = false;
        let mut is_whole = false;
        for (key, value) in lines {
            match key {
                "disk" => disk = Some(truncate(value)),
                "menu" => scan.menu = value.parse().unwrap_or_default(),
                "end" => is_whole = true,
                "table" => {
                    has_table = true;
                    scan.is_gpt = value == "gpt";
                }
                "marked" => scan.marked.extend(value.parse::<u32>()),
                _ => facts.add(key, value),
            }
        }
        facts.scan = disk.filter(|_| has_table && scan.menu > 0).map(|disk| (disk, scan));
        let has_boot_files = !facts.folder.is_empty() && !facts.sums.is_empty();
        (is_whole && has_boot_files).then_some(facts)
    }

    /// Adds the fact of one line. Unknown keys are ignored.
    fn add(&mut self, key: &str, value: &str) {
        match key {
            "boot" => self.folder = truncate(value),
            "config" => {
                let text = self.config.get_or_insert_default();
                text.push_str(value);
                text.push('\n');
            }
            "empty" => self.empty.extend([file_key(value)]),
            "file" => self.sums.extend(parse_sum(value)),
            "uboot" => self.uboots.extend(parse_uboot(value)),
            "updater" => self.updater = StorePath::containing(value),
            "kept" => self.kept.extend([value.to_owned()]),
            // The script asks `df` for blocks of 1024 bytes.
            "free" => self.free = value.parse::<u64>().ok().map(|blocks| blocks.saturating_mul(1024)),
            "shared" => self.shares_store = true,
            "model" => self.board.model = truncate(value),
            "tree" => self.board.files.extend([truncate(value.trim_start_matches("./"))]),
            _ => {}
        }
    }

    /// The SHA-256 of the file `path` on FIRMWARE, in hexadecimal; `None` if there is no such file.
    pub fn sum(&self, path: &str) -> Option<&str> {
        self.sums.get(&file_key(path)).map(String::as_str)
    }
}

/// The key for a path on FIRMWARE, in lower case because FAT ignores the case of names.
fn file_key(path: &str) -> String {
    path.trim_start_matches("./").to_ascii_lowercase()
}

/// The path and the SHA-256 of a file, from a line of `sha256sum`.
fn parse_sum(value: &str) -> Option<(String, String)> {
    let (sum, file) = value.split_once("  ")?;
    Some((file_key(file), sum.to_owned()))
}

/// The path and the addresses of a U-Boot, from a line such as `0x00080000 0x02600000 ./u-boot-pi3.bin`.
fn parse_uboot(value: &str) -> Option<(String, Addresses)> {
    let (kernel, rest) = value.split_once(' ')?;
    let (device_tree, file) = rest.split_once(' ')?;
    Some((file_key(file), Addresses::parse(kernel, device_tree)?))
}

impl Firmware for BootFacts {
    fn config(&self) -> Result<Option<String>> {
        Ok(self.config.clone())
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.sums.contains_key(&file_key(name)))
    }

    fn file(&self, name: &str) -> Result<Option<FirmwareFile>> {
        let key = file_key(name);
        let file =
            FirmwareFile { is_empty: self.empty.contains(&key), addresses: self.uboots.get(&key).copied() };
        Ok(self.sums.contains_key(&key).then_some(file))
    }
}

/// `script` without its comments and indentation, which each host would be sent. None of its texts has several lines.
fn without_comments(script: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::boot::uboot_programs;

    /// The answer of a Pi 3, as the script prints it.
    const PI: &str = "asked=yes
boot=/nix/boot
config=[pi3]
config=kernel=u-boot-pi3.bin
empty=./trial.txt
file=aa  ./config.txt
file=bb  ./U-Boot-pi3.bin
file=cc  ./overlays/a b.dtbo
file=dd  ./trial.txt
uboot=0x00080000 0x02600000 ./u-boot-pi3.bin
updater=/nix/store/0123456789abcdfghijklmnpqrsvwxyz-raspberry-pi-firmware
disk=mmcblk0
table=mbr
menu=2
marked=1
marked=2
kept=k-Image
free=1000
shared=yes
model=Raspberry Pi 3 Model B Rev 1.2
tree=./broadcom/bcm2837-rpi-3-b.dtb
end=yes
";

    /// The facts of a Pi 3 whose answer was edited by `change`.
    pub fn facts(change: impl FnOnce(&str) -> String) -> BootFacts {
        let answer = BootAnswer::read(&Answer::of(&[(PART, &change(PI))]));
        answer.facts().unwrap().clone()
    }

    #[test]
    fn the_facts_of_a_pi_are_read() {
        let found = facts(str::to_owned);
        assert_eq!(
            (found.folder.as_str(), found.free, found.shares_store),
            ("/nix/boot", Some(1_024_000), true)
        );
        assert_eq!(
            (found.sum("Config.txt"), found.sum("overlays/a b.dtbo"), found.sum("x")),
            (Some("aa"), Some("cc"), None)
        );
        assert_eq!(found.scan, Some(("mmcblk0".into(), Scan { is_gpt: false, marked: vec![1, 2], menu: 2 })));
        assert_eq!(found.board.files, ["broadcom/bcm2837-rpi-3-b.dtb".to_owned()].into());
        assert_eq!(found.updater.as_ref().map(StorePath::name), Some("raspberry-pi-firmware"));
        assert_eq!(uboot_programs(&found).unwrap().len(), 1);
        assert!(found.file("trial.txt").unwrap().unwrap().is_empty && found.file("x").unwrap().is_none());
    }

    #[test]
    fn an_answer_without_facts_is_unknown_or_not_asked() {
        for (answer, expected) in [
            ("", BootAnswer::NotAsked),
            ("sh: not found\n", BootAnswer::NotAsked),
            ("asked=yes\n", BootAnswer::Unknown),
            ("asked=no\n", BootAnswer::Unknown),
            ("asked=yes\nboot=\nfile=a  b\nend=yes\n", BootAnswer::Unknown),
            ("asked=yes\nboot=/nix/boot\nend=yes\n", BootAnswer::Unknown),
            ("asked=yes\nboot=/nix/boot\nfile=a  b\n", BootAnswer::Unknown),
        ] {
            assert_eq!(BootAnswer::read(&Answer::of(&[(PART, answer)])), expected, "{answer}");
        }
        assert_eq!(BootAnswer::read(&Answer::default()), BootAnswer::NotAsked);
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[PI], |text| {
            let answer = BootAnswer::read(&Answer::of(&[(PART, text)]));
            let facts = answer.facts()?;
            let _ = facts.scan.as_ref().map(|(_, scan)| scan.check());
            uboot_programs(facts).ok()
        });
    }
}
