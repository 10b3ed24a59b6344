//! Power cuts. One deploy with a reboot is recorded write by write. A cut is then made offline, at each write: all that was
//! flushed before is on the card, and a random part of the rest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::card::{SYSTEM_1, SYSTEM_2, lab, run, saved};
use crate::guest::Guest;

/// Where the root file system begins on the card.
const ROOT: u64 = 48 << 20;

/// A write to a card, or a flush without data.
struct Write {
    /// The first byte.
    at: u64,
    data: Vec<u8>,
    /// Whether all that was written before is on the card from here on.
    flushes: bool,
}

/// The writes in the file `record` of QEMU's driver blklogwrites, which has the format of Linux' dm-log-writes: a block with
/// the number of entries, then for each entry a block with its header, and its data.
fn writes(record: &Path) -> Vec<Write> {
    let log = fs::read(record).unwrap();
    let number = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().unwrap());
    assert_eq!(number(0), 0x006a_7366_7773_6872, "the magic number");
    let block = u64::from(u32::from_le_bytes(log[24..28].try_into().unwrap()));
    let mut at = usize::try_from(block).unwrap();
    let mut writes = Vec::new();
    for _ in 0..number(16) {
        let [sector, count, flags] = [0, 8, 16].map(|offset| number(at + offset));
        at += usize::try_from(block).unwrap();
        // 4 is a discard, which has no data.
        let size = if flags & 4 == 0 { usize::try_from(count * block).unwrap() } else { 0 };
        writes.push(Write { at: sector * block, data: log[at..at + size].to_vec(), flushes: flags & 3 != 0 });
        at += size;
    }
    writes
}

/// A card before a recording, on which cuts are made.
struct Card {
    path: PathBuf,
    file: File,
}

impl Card {
    fn new(base: &Path, name: &str) -> Self {
        let path = lab().path(name);
        run("cp", &["--sparse=always", base.to_str().unwrap(), path.to_str().unwrap()]);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Writes `writes`, and returns what was there before, for [`Self::undo`].
    fn apply<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> Vec<(u64, Vec<u8>)> {
        let mut before = Vec::new();
        for write in writes {
            let mut old = vec![0; write.data.len()];
            self.file.read_exact_at(&mut old, write.at).unwrap();
            self.file.write_all_at(&write.data, write.at).unwrap();
            before.push((write.at, old));
        }
        before
    }

    fn undo(&self, before: Vec<(u64, Vec<u8>)>) {
        for (at, old) in before.into_iter().rev() {
            self.file.write_all_at(&old, at).unwrap();
        }
    }

    /// The system that DEFAULT starts, read as U-Boot does: without the journal. `Err` has what is wrong.
    fn default_system(&self) -> Result<&'static str, String> {
        let requests = self.path.with_extension("requests");
        let stats = FILES.map(|file| format!("stat /boot/nixos/{file}\n")).concat();
        fs::write(&requests, format!("cat {MENU}\n{stats}")).unwrap();
        let root = format!("{}?offset={ROOT}", self.path.display());
        let answers = run("debugfs", &["-n", "-f", requests.to_str().unwrap(), &root]);
        // debugfs repeats each request.
        let mut answers = answers.split("debugfs: ").skip(1);
        let menu = answers.next().and_then(|answer| answer.strip_prefix(&format!("cat {MENU}\n"))).unwrap();
        for (file, stat) in FILES.iter().zip(answers) {
            // The first size is that of the file, the second that of a fragment.
            let size = stat.split("Size: ").nth(1).unwrap_or_default();
            if !stat.contains("Type: regular") || size.starts_with("0\n") {
                return Err(format!("no {file}"));
            }
        }
        started(menu)
    }
}

/// The menu, and the kernel and initrd of both systems.
const MENU: &str = "/boot/extlinux/extlinux.conf";
const FILES: [&str; 2] =
    ["kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk-linux-Image", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk-linux-initrd"];

/// The system that DEFAULT of `menu` starts.
fn started(menu: &str) -> Result<&'static str, String> {
    let entry = menu.split("\nLABEL ").find_map(|entry| entry.strip_prefix("nixos-default\n"));
    let entry =
        entry.filter(|_| menu.starts_with("DEFAULT nixos-default\n")).ok_or("no entry for DEFAULT")?;
    if let Some(file) = FILES.iter().find(|file| !entry.contains(&format!(" ../nixos/{file}\n"))) {
        return Err(format!("an entry without {file}"));
    }
    let systems = [SYSTEM_1, SYSTEM_2];
    let started = systems.into_iter().find(|system| entry.contains(&format!("init={system}/init")));
    started.ok_or_else(|| "an entry for another system".to_owned())
}

/// Pseudo-random numbers, the same in each run (xorshift64).
struct Random(u64);

impl Random {
    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 0
    }
}

/// Cuts the power at each write of the recording, first without a loss, then `rounds` times with a random half of what was
/// not flushed lost. Returns how often DEFAULT started what.
fn cut_everywhere(base: &Path, writes: &[Write], rounds: u32) -> BTreeMap<Result<&'static str, String>, u32> {
    let card = Card::new(base, "cut.img");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut outcomes = BTreeMap::new();
    let mut pending: Vec<&Write> = Vec::new();
    for write in writes {
        pending.push(write);
        for round in 0..=rounds {
            let kept = pending.iter().copied().filter(|_| round == 0 || random.coin()).collect::<Vec<_>>();
            if round > 0 && kept.len() == pending.len() {
                continue;
            }
            let before = card.apply(kept);
            *outcomes.entry(card.default_system()).or_default() += 1;
            card.undo(before);
        }
        if write.flushes {
            card.apply(pending.drain(..));
        }
    }
    fs::remove_file(&card.path).unwrap();
    outcomes
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_power_cut_at_any_write_of_a_deploy_finds_a_menu() {
    let record = lab().path("deploy.log");
    let guest = Guest::restore_recorded(saved(), &record);
    guest.install("");
    guest.run("boot-trial arm deployer");
    guest.reboot_into(SYSTEM_2);
    guest.run("boot-trial bless; sync");
    guest.quit();
    let writes = writes(&record);
    assert!(writes.len() > 50, "{} writes", writes.len());
    let outcomes = cut_everywhere(&saved().card, &writes, 2);
    let systems = outcomes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(systems, [Ok(SYSTEM_1), Ok(SYSTEM_2)], "{outcomes:?}");
}
