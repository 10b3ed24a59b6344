//! The first stage of the boot of a board: the files that the firmware of the Pi loads, by `config.txt`.
//!
//! Source: the Raspberry Pi documentation, `config_txt` (boot.adoc) and the page about the boot folder.

mod system_files;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::board::{Board, Family};
use super::board_fault::{BoardFault, FaultKind};
use super::config_txt::{ConfigTxt, MAX_ITEMS};
use super::firmware::CardFirmware;
use super::program::Program;

/// The files that the firmware of a board loads, with their folders. All of them exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirmwareStage {
    /// The firmware itself; none for a Pi 5, whose EEPROM has it.
    pub start: Vec<String>,
    /// The U-Boot or the kernel.
    pub program: Option<String>,
    pub device_tree: Option<String>,
    pub armstub: Option<String>,
    pub initramfs: Vec<String>,
    pub overlays: Vec<String>,
}

/// Finds what the firmware of one board loads.
pub struct FirmwareLoader<'a, F> {
    pub board: Board,
    pub firmware: &'a F,
    pub config: &'a ConfigTxt,
    /// What comes before the names of the system's files: `os_prefix`, if its files exist.
    pub prefix: String,
    pub faults: Vec<BoardFault>,
    pub stage: FirmwareStage,
}

impl<'a, F: CardFirmware> FirmwareLoader<'a, F> {
    /// Loads everything but the initramfs. The program is `None` where there is none.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn load(board: Board, firmware: &'a F, config: &'a ConfigTxt) -> Result<(Self, Option<Program>)> {
        let mut loader = Self {
            board,
            firmware,
            config,
            prefix: String::new(),
            faults: Vec::new(),
            stage: FirmwareStage::default(),
        };
        if config.is_cut {
            let text = format!(
                "config.txt names more than {MAX_ITEMS} files of one kind; the others are not proved"
            );
            loader.faults.push(BoardFault::tolerable(FaultKind::ConfigTxt, text));
        }
        for setting in &config.truncated {
            let text = format!(
                "the line of {setting} in config.txt has more than 98 characters, of which the firmware reads the first 98"
            );
            loader.faults.push(BoardFault::tolerable(FaultKind::ConfigTxt, text));
        }
        loader.load_start_files()?;
        loader.choose_prefix()?;
        let program = loader.load_program()?;
        // Linux and U-Boot need one, and the firmware of a Pi 5 starts nothing without.
        let is_known = matches!(program, Some(Program::UBoot(_) | Program::Linux));
        loader.load_device_tree(is_known || board.facts().family == Family::Bcm2712)?;
        loader.load_overlays()?;
        loader.load_armstub()?;
        Ok((loader, program))
    }

    /// Whether the file `path` exists and has content.
    fn has(&self, path: &str) -> Result<bool> {
        Ok(self.firmware.size(path)?.is_some_and(|size| size > 0))
    }

    /// Whether the file `path`, which the board needs as `purpose`, exists and has content; otherwise that is a fault
    /// of this `kind`.
    fn require(&mut self, kind: FaultKind, path: &str, purpose: &str) -> Result<bool> {
        let fault = match self.firmware.size(path)? {
            Some(1..) => return Ok(true),
            Some(0) => format!("{path} is empty ({purpose})"),
            None => format!("no {path} ({purpose})"),
        };
        self.faults.push(BoardFault::fatal(kind, fault));
        Ok(false)
    }

    /// Loads the firmware itself.
    fn load_start_files(&mut self) -> Result<()> {
        let four = match self.board.facts().family {
            Family::Bcm2712 | Family::Emulated => return Ok(()),
            Family::Bcm2711 => "4",
            Family::Bcm2837 => {
                self.load_start_file("bootcode.bin", "the first program of the firmware")?;
                ""
            }
        };
        let config = self.config;
        // A setting for boards with this much memory comes first.
        let of_memory = if self.board == Board::Pi02 { "gpu_mem_512" } else { "gpu_mem_1024" };
        let gpu_mem = config.number(of_memory).or_else(|| config.number("gpu_mem"));
        let variant = match (config.is_on("start_x"), config.is_on("start_debug"), gpu_mem) {
            (true, ..) => "x",
            (_, true, _) => "db",
            (.., Some(0..=16)) => "cd",
            _ => "",
        };
        let separator = if four.is_empty() && !variant.is_empty() { "_" } else { "" };
        let default = |kind: &str, ending: &str| format!("{kind}{four}{separator}{variant}.{ending}");
        let start = config.file("start_file").map_or_else(|| default("start", "elf"), str::to_owned);
        let fixup = config.file("fixup_file").map_or_else(|| default("fixup", "dat"), str::to_owned);
        self.load_start_file(&start, "the firmware")?;
        if self.has(&fixup)? {
            self.stage.start.push(fixup);
        } else {
            let text = format!("no {fixup}: the firmware does not use all memory of the board");
            self.faults.push(BoardFault::tolerable(FaultKind::Firmware, text));
        }
        Ok(())
    }

    fn load_start_file(&mut self, path: &str, purpose: &str) -> Result<()> {
        if self.require(FaultKind::Firmware, path, purpose)? {
            self.stage.start.push(path.to_owned());
        }
        Ok(())
    }

    /// Takes `os_prefix` as the prefix if the kernel and the device tree exist with it, as the firmware does.
    fn choose_prefix(&mut self) -> Result<()> {
        let is_upstream = self.config.is_on("upstream_kernel");
        let default = if is_upstream { "upstream/" } else { "" };
        let wanted = self.config.get("os_prefix").unwrap_or(default).to_owned();
        if wanted.is_empty() {
            return Ok(());
        }
        self.prefix.clone_from(&wanted);
        if self.find_kernel()?.is_some() && self.find_device_tree()?.is_some() {
            return Ok(());
        }
        self.prefix.clear();
        if wanted != default {
            let text = format!(
                "the firmware ignores os_prefix={wanted}: no kernel or no device tree has such a name"
            );
            self.faults.push(BoardFault::tolerable(FaultKind::ConfigTxt, text));
        }
        Ok(())
    }

    /// The path of a file of the system: with the prefix, unless the name begins with a slash.
    pub fn prefixed(&self, name: &str) -> String {
        match name.strip_prefix('/') {
            Some(absolute) => absolute.to_owned(),
            None => format!("{}{name}", self.prefix),
        }
    }

    /// The first of the files `names` that exists and has content, with its folder.
    fn first_existing(&self, names: &[&str]) -> Result<Option<String>> {
        for name in names {
            let path = self.prefixed(name);
            if self.has(&path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}
