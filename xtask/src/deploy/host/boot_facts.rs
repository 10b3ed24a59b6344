//! What decides whether the host boots a new system: its FIRMWARE, its partitions, its board and its boot folder. The
//! script `boot_facts.sh` reads that on the host, as root; here its lines are parsed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::excerpt::truncated;
use super::probe::root_prefix;
use super::query::{Answer, CLOSURE_TIMEOUT, Query};
use super::ssh::Remote;
use crate::base::shell;
use crate::boot::{Addresses, Board, Firmware, FirmwareFile, Scan};
use crate::deploy::target::Target;
use crate::nix::StorePath;

/// The script of the tool; see the file.
const SCRIPT: &str = include_str!("boot_facts.sh");

/// The name of the part of an answer.
const PART: &str = "boot-facts";

/// How many lines of the answer are read: a FIRMWARE has some hundred files.
const MAX_LINES: usize = 20_000;

/// What a host answered about its boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BootAnswer {
    #[default]
    NotAsked,
    /// U-Boot does not start the host, the tool may not ask as root, or the answer is not whole.
    Unknown,
    Known(Box<BootFacts>),
}

/// What is read of a host that U-Boot starts from an `extlinux.conf`, by a FIRMWARE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootFacts {
    /// The folder with `extlinux/` and `nixos/`, such as `/nix/boot`.
    pub folder: String,
    /// The text of `config.txt`.
    config: Option<String>,
    /// The SHA-256 of the files on FIRMWARE, in hexadecimal, by their paths in lower case.
    sums: BTreeMap<String, String>,
    /// The files without content.
    empty: BTreeSet<String>,
    uboots: BTreeMap<String, Addresses>,
    /// The FIRMWARE that the host's own `update-firmware` would write.
    pub updater: Option<StorePath>,
    /// The disk with the boot menu, such as `mmcblk0`, and what U-Boot scans of it; `None` where it has no MBR.
    pub scan: Option<(String, Scan)>,
    /// The names of the files that the generations in the boot menu have in the boot folder.
    pub kept: BTreeSet<String>,
    /// Free space in the boot folder, in bytes.
    pub free: Option<u64>,
    /// Whether the boot folder shares its file system with the Nix store.
    pub shares_store: bool,
    pub board: Board,
}

impl BootAnswer {
    /// Adds the script, which is skipped if the command `skip_if` succeeds.
    pub fn add_queries(query: &mut Query, skip_if: &str, target: &Target) {
        let script = format!("{}sh -c {}", root_prefix(target), shell::quote(SCRIPT));
        query.add(PART, &format!("{skip_if} || {script} || echo asked=no"));
    }

    /// Asks the host.
    pub fn ask(remote: &Remote, target: &Target) -> Result<Self> {
        let mut query = Query::new("the query of the boot files")?;
        Self::add_queries(&mut query, "false", target);
        Ok(Self::read(&remote.query(&query, CLOSURE_TIMEOUT)?))
    }

    /// Reads the answer of the script.
    pub fn read(answer: &Answer) -> Self {
        let mut lines = answer.lines(PART).take(MAX_LINES).filter_map(|line| line.split_once('=')).peekable();
        if lines.peek().is_none() {
            return Self::NotAsked;
        }
        BootFacts::of(lines).map_or(Self::Unknown, |facts| Self::Known(Box::new(facts)))
    }

    pub fn facts(&self) -> Option<&BootFacts> {
        match self {
            Self::Known(facts) => Some(facts),
            _ => None,
        }
    }
}

impl BootFacts {
    /// The facts in these keys and values; `None` without a boot folder or files on FIRMWARE, and without the last key.
    fn of<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut facts = Self::default();
        let mut scan = Scan::default();
        let mut disk = None;
        let mut is_whole = false;
        for (key, value) in lines {
            match key {
                "disk" => disk = Some(truncated(value)),
                "menu" => scan.menu = value.parse().unwrap_or_default(),
                "end" => is_whole = true,
                "marked" => scan.marked.extend(value.parse::<u32>()),
                _ => facts.add(key, value),
            }
        }
        facts.scan = disk.filter(|_| scan.menu > 0).map(|disk| (disk, scan));
        (is_whole && !facts.folder.is_empty() && !facts.sums.is_empty()).then_some(facts)
    }

    fn add(&mut self, key: &str, value: &str) {
        match key {
            "boot" => self.folder = truncated(value),
            "config" => {
                let text = self.config.get_or_insert_default();
                text.push_str(value);
                text.push('\n');
            }
            "empty" => drop(self.empty.insert(file_key(value))),
            "file" => self.sums.extend(sum(value)),
            "uboot" => self.uboots.extend(uboot(value)),
            "updater" => self.updater = StorePath::containing(value),
            "kept" => drop(self.kept.insert(value.to_owned())),
            "free" => self.free = value.parse::<u64>().ok().map(|blocks| blocks.saturating_mul(1024)),
            "shared" => self.shares_store = true,
            "model" => self.board.model = truncated(value),
            "tree" => drop(self.board.files.insert(truncated(value.trim_start_matches("./")))),
            _ => {}
        }
    }

    /// The SHA-256 of the file `path` on FIRMWARE.
    pub fn sum(&self, path: &str) -> Option<&str> {
        self.sums.get(&file_key(path)).map(String::as_str)
    }
}

/// A path on FIRMWARE as a key: FAT ignores the case of names.
fn file_key(path: &str) -> String {
    path.trim_start_matches("./").to_ascii_lowercase()
}

/// The path and the SHA-256 of a file, in a line of `sha256sum`.
fn sum(value: &str) -> Option<(String, String)> {
    let (sum, file) = value.split_once("  ")?;
    Some((file_key(file), sum.to_owned()))
}

/// The name and the addresses of a U-Boot, in a line such as `0x00080000 0x02600000 ./u-boot-pi3.bin`.
fn uboot(value: &str) -> Option<(String, Addresses)> {
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

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::boot::programs;

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

    /// The facts of a Pi 3, changed by `change` of the answer.
    pub fn facts(change: impl FnOnce(&str) -> String) -> BootFacts {
        let answer = BootAnswer::read(&Answer::of(&[(PART, &change(PI))]));
        answer.facts().unwrap().clone()
    }

    #[test]
    fn the_answer_of_a_pi() {
        let found = facts(str::to_owned);
        assert_eq!(
            (found.folder.as_str(), found.free, found.shares_store),
            ("/nix/boot", Some(1_024_000), true)
        );
        assert_eq!(
            (found.sum("Config.txt"), found.sum("overlays/a b.dtbo"), found.sum("x")),
            (Some("aa"), Some("cc"), None)
        );
        assert_eq!(found.scan, Some(("mmcblk0".into(), Scan { marked: vec![1, 2], menu: 2 })));
        assert_eq!(found.board.files, ["broadcom/bcm2837-rpi-3-b.dtb".to_owned()].into());
        assert_eq!(found.updater.as_ref().map(StorePath::name), Some("raspberry-pi-firmware"));
        assert_eq!(programs(&found).unwrap().len(), 1);
        assert!(found.file("trial.txt").unwrap().unwrap().is_empty && found.file("x").unwrap().is_none());
    }

    #[test]
    fn another_host_has_no_facts() {
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
            programs(facts).ok()
        });
    }
}
