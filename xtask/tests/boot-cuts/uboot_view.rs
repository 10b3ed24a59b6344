//! Computes the entry that U-Boot starts from a card. U-Boot reads the flag on FIRMWARE, then the menu on `NIXOS_SD`,
//! without the journal of the file system.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::cut::Card;
use crate::guest::card::{SYSTEM_1, SYSTEM_2, command, lab, run};
use crate::guest::emulator::read_firmware;

/// The offset of the root file system on the card, in bytes.
const ROOT_OFFSET: u64 = 48 << 20;
/// The block size of the root file system, in bytes.
const BLOCK: u64 = 4096;
/// The path of the menu in the root file system.
const MENU: &str = "/boot/extlinux/extlinux.conf";
/// The store names of the kernels of the first and of the second system.
const KERNELS: [&str; 2] =
    ["kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk-linux", "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm-linux"];

/// The files that an entry of the menu needs, in the folder of its kernel. One device tree stands for all.
const FILES: [&str; 3] = ["Image", "initrd", "dtbs/broadcom/bcm2711-rpi-4-b.dtb"];

/// The entry that U-Boot starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub label: &'static str,
    pub system: &'static str,
}

/// The model of U-Boot, with the expected contents of files.
pub struct UbootView {
    /// The content of [`FILES`], which is the same for each system.
    files: [Vec<u8>; 3],
    /// The flag that lets U-Boot start the trial.
    flag: Vec<u8>,
    /// U-Boot's script.
    script: Vec<u8>,
}

/// The files of FIRMWARE and the answers of debugfs about one card.
struct Content {
    flag: Vec<u8>,
    script: Vec<u8>,
    menu: String,
    /// The answers about [`FILES`] of each of [`KERNELS`].
    stats: Vec<String>,
}

impl UbootView {
    /// Reads the expected contents from a card of the suite.
    pub fn of(card: &Path) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial");
        let flag = lab().new_file();
        let script = scripts.join("trial-flag.sh").display().to_string();
        run("sh", &["-c", "sh \"$0\" nixos-trial >\"$1\"", &script, flag.to_str().unwrap()]);
        Self {
            files: FILES.map(|name| read_ext4(card, &format!("/store/{}/{name}", KERNELS[0]))),
            flag: fs::read(&flag).unwrap(),
            script: read_firmware(card, "boot.scr"),
        }
    }

    /// The entry that U-Boot starts from `card`; `Err` has the reason why it starts none.
    pub fn start(&self, card: &Card) -> Result<Entry, String> {
        let content = Content::of(&card.path);
        if content.script != self.script {
            return Err("another boot.scr".to_owned());
        }
        if !content.menu.starts_with("DEFAULT nixos-default\n") {
            return Err("no menu".to_owned());
        }
        let default = self.entry(card, &content, "nixos-default")?;
        // U-Boot ignores a damaged flag, whose checksum is wrong.
        if content.flag == self.flag && content.menu.contains("\nLABEL nixos-trial\n") {
            return self.entry(card, &content, "nixos-trial");
        }
        Ok(default)
    }

    /// The entry `label` of the menu; `Err` where one of its files on the card is damaged.
    fn entry(&self, card: &Card, content: &Content, label: &'static str) -> Result<Entry, String> {
        let name = format!("{label}\n");
        let text = content.menu.split("\nLABEL ").find_map(|entry| entry.strip_prefix(&name));
        let text = text.ok_or_else(|| format!("no entry {label}"))?;
        let system =
            [SYSTEM_1, SYSTEM_2].into_iter().find(|system| text.contains(&format!("init={system}/init ")));
        let system = system.ok_or_else(|| format!("{label} starts no system"))?;
        for (index, file) in FILES.iter().enumerate() {
            let named = file.split('/').next().unwrap();
            let kernel =
                KERNELS.iter().position(|name| text.contains(&format!(" ../nixos/{name}-{named}\n")));
            let kernel = kernel.ok_or_else(|| format!("{label} names no {named}"))?;
            let found = read_extents(card, &content.stats[FILES.len() * kernel + index]);
            if found.as_ref() != Ok(&self.files[index]) {
                return Err(format!("{file} of {label} is damaged: {}", found.err().unwrap_or_default()));
            }
        }
        Ok(Entry { label, system })
    }
}

impl Content {
    /// Reads the content of `card`.
    fn of(card: &Path) -> Self {
        let files = KERNELS.map(|name| FILES.map(|file| format!("{name}-{file}"))).concat();
        let requests = card.with_extension("requests");
        let stats = files.iter().map(|file| format!("stat /boot/nixos/{file}\n")).collect::<String>();
        fs::write(&requests, format!("cat {MENU}\n{stats}")).unwrap();
        let answers = debugfs(card, &["-f", requests.to_str().unwrap()]);
        // debugfs repeats each request.
        let text = String::from_utf8_lossy(&answers).into_owned();
        let mut answers = text.split("debugfs: ").skip(1).map(str::to_owned);
        let menu = answers.next().unwrap().replacen(&format!("cat {MENU}\n"), "", 1);
        let stats = answers.collect::<Vec<_>>();
        assert_eq!(stats.len(), files.len(), "{text}");
        Self { flag: read_firmware(card, "trial.env"), script: read_firmware(card, "boot.scr"), menu, stats }
    }
}

/// Runs debugfs on the root file system of `card`, and returns its stdout.
fn debugfs(card: &Path, args: &[&str]) -> Vec<u8> {
    let root = format!("{}?offset={ROOT_OFFSET}", card.display());
    let output = command("debugfs").arg("-n").args(args).arg(root).output().unwrap();
    output.stdout
}

/// The content of the file `path` in the root file system.
fn read_ext4(card: &Path, path: &str) -> Vec<u8> {
    debugfs(card, &["-R", &format!("cat {path}")])
}

/// The content of a regular file, read from the card by the extents in `stat`, the output of debugfs about the file.
fn read_extents(card: &Card, stat: &str) -> Result<Vec<u8>, String> {
    let unreadable = || format!("unreadable: {}", stat.lines().take(3).collect::<Vec<_>>().join(" "));
    if !stat.contains("Type: regular") {
        return Err(unreadable());
    }
    // The first size is that of the file, the second that of a fragment.
    let size = stat.split("Size: ").nth(1).and_then(|text| text.split_whitespace().next()?.parse().ok());
    let mut content = vec![0; size.ok_or_else(unreadable)?];
    let extents = stat.split_once("EXTENTS:").ok_or_else(unreadable)?.1;
    let extents = extents.split([',', '\n']).map(str::trim).filter(|text| text.starts_with('('));
    for extent in extents.filter(|text| !text.starts_with("(ETB")) {
        let (blocks, target) = extent.trim_start_matches('(').split_once("):").ok_or_else(unreadable)?;
        // An extent that was never written reads as zeros.
        if blocks.contains('u') {
            continue;
        }
        let first = |range: &str| range.split('-').next()?.parse::<u64>().ok();
        let from = first(blocks).ok_or_else(unreadable)? * BLOCK;
        let last = blocks.split('-').next_back().and_then(|text| text.parse::<u64>().ok());
        let end = ((last.ok_or_else(unreadable)? + 1) * BLOCK).min(content.len() as u64);
        let offset = ROOT_OFFSET + first(target).ok_or_else(unreadable)? * BLOCK;
        let part = usize::try_from(from).unwrap()..usize::try_from(end).unwrap();
        card.file.read_exact_at(content.get_mut(part).ok_or_else(unreadable)?, offset).unwrap();
    }
    Ok(content)
}
