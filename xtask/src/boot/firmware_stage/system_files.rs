//! The files of the system that the firmware loads: the program, its device tree, overlays, armstub and initramfs.

use anyhow::Result;

use super::FirmwareLoader;
use crate::boot::board::Family;
use crate::boot::board_fault::{BoardFault, FaultKind};
use crate::boot::firmware::CardFirmware;
use crate::boot::program::Program;

impl<'a, F: CardFirmware> FirmwareLoader<'a, F> {
    /// The names of the kernels that the firmware looks for, in order.
    fn kernel_names(&self) -> Vec<&'a str> {
        if let Some(name) = self.config.file("kernel") {
            return vec![name];
        }
        match (self.board.facts().family, self.config.number("arm_64bit")) {
            (Family::Bcm2712, _) => vec!["kernel_2712.img", "kernel8.img"],
            (Family::Bcm2711, Some(0)) => vec!["kernel7l.img"],
            (Family::Bcm2711, _) => vec!["kernel8.img", "kernel7l.img"],
            (_, Some(0)) => vec!["kernel7.img"],
            (_, Some(_)) => vec!["kernel8.img"],
            (_, None) => vec!["kernel7.img", "kernel8.img"],
        }
    }

    pub(super) fn find_kernel(&self) -> Result<Option<String>> {
        self.first_existing(&self.kernel_names())
    }

    /// Loads the U-Boot or the kernel; `None` where there is none.
    pub(super) fn load_program(&mut self) -> Result<Option<Program>> {
        let Some(path) = self.find_kernel()? else { return Ok(None) };
        let program = self.firmware.program(&path)?;
        self.check_mode(&path, program.as_ref());
        self.stage.program = Some(path);
        Ok(program)
    }

    /// The fault that there is nothing to start.
    pub fn no_kernel_fault(&self) -> Result<BoardFault> {
        let names = self.kernel_names();
        let first = self.prefixed(names.first().unwrap_or(&"kernel8.img"));
        if self.firmware.size(&first)? == Some(0) {
            let text = format!("{first} is empty (the program that the firmware starts)");
            return Ok(BoardFault::fatal(FaultKind::Program, text));
        }
        let text = match self.config.file("kernel") {
            Some(_) => format!("no {first}, which config.txt names as the kernel"),
            None => {
                format!("config.txt names no kernel for this board, and there is no {}", names.join(" or "))
            }
        };
        Ok(BoardFault::fatal(FaultKind::Program, text))
    }

    /// Adds a fault where the firmware starts `program` in a mode of the processor that the program is not made for.
    fn check_mode(&mut self, path: &str, program: Option<&Program>) {
        let is_64bit = match program {
            Some(Program::UBoot(_) | Program::Linux) => true,
            Some(Program::Linux32) => false,
            _ => return,
        };
        let starts_64bit = self.starts_64bit(path);
        let setting = match (is_64bit, starts_64bit) {
            (true, false) => "arm_64bit=1",
            (false, true) => "arm_64bit=0",
            _ => return,
        };
        let bits = if starts_64bit { 64 } else { 32 };
        let text = format!("the firmware starts {path} in the mode for {bits} bits");
        let fault = BoardFault::fatal(FaultKind::ProcessorMode, text);
        self.faults.push(fault.with_hint(format!("set `{setting}` in config.txt")));
    }

    /// Whether the firmware starts the file `path` in the mode for 64 bits. A known name decides it; otherwise
    /// `arm_64bit` does, whose default is that of the board.
    fn starts_64bit(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        match (self.board.facts().family, name, self.config.number("arm_64bit")) {
            (Family::Bcm2712 | Family::Emulated, ..) | (_, "kernel8.img", _) => true,
            (_, "kernel.img" | "kernel7.img" | "kernel7l.img", _) => false,
            (_, _, Some(value)) => value != 0,
            (family, _, None) => family == Family::Bcm2711,
        }
    }

    /// The device tree of the board; `None` where there is none, and where `config.txt` wants none.
    pub(super) fn find_device_tree(&self) -> Result<Option<String>> {
        let facts = self.board.facts();
        match self.config.get("device_tree") {
            Some("") => Ok(None),
            Some(name) => self.first_existing(&[name]),
            None => {
                let is_upstream = self.config.is_on("upstream_kernel");
                let upstream = if is_upstream { facts.kernel_trees } else { &[] };
                self.first_existing(&[upstream, facts.firmware_trees].concat())
            }
        }
    }

    /// Loads the device tree. A missing one is fatal only where the program `needs` one.
    pub(super) fn load_device_tree(&mut self, needs: bool) -> Result<()> {
        self.stage.device_tree = self.find_device_tree()?;
        if self.stage.device_tree.is_some() {
            return Ok(());
        }
        let text = match self.config.get("device_tree") {
            Some("") => {
                "config.txt sets `device_tree=`, so that the firmware loads no device tree".to_owned()
            }
            Some(name) => format!("no {}, which config.txt names as the device tree", self.prefixed(name)),
            None => {
                let names = self.board.facts().firmware_trees.join(" or ");
                format!("no {names} (the device tree that the firmware loads)")
            }
        };
        let fault = BoardFault::fatal(FaultKind::DeviceTree, text);
        self.faults.push(BoardFault { prevents_boot: needs, ..fault });
        Ok(())
    }

    /// Loads the overlays. The firmware goes on without one that does not exist.
    pub(super) fn load_overlays(&mut self) -> Result<()> {
        let folder = self.config.file("overlay_prefix").unwrap_or("overlays/");
        let own = format!("{}{folder}", self.prefix);
        let folder = if self.has(&format!("{own}README"))? { own } else { folder.to_owned() };
        for name in &self.config.overlays {
            // The map of overlays gives some boards a variant.
            let variants = ["", "-pi4", "-pi5"].map(|variant| format!("{folder}{name}{variant}.dtbo"));
            let mut found = None;
            for path in variants {
                if found.is_none() && self.has(&path)? {
                    found = Some(path);
                }
            }
            let Some(path) = found else {
                let text = format!("no {folder}{name}.dtbo, which config.txt names as an overlay");
                self.faults.push(BoardFault::tolerable(FaultKind::Overlay, text));
                continue;
            };
            self.stage.overlays.push(path);
        }
        Ok(())
    }

    pub(super) fn load_armstub(&mut self) -> Result<()> {
        let Some(name) = self.config.file("armstub") else { return Ok(()) };
        if self.board.facts().family == Family::Emulated {
            return Ok(());
        }
        let path = self.prefixed(name);
        if self.require(FaultKind::Armstub, &path, "the armstub that config.txt names")? {
            self.stage.armstub = Some(path);
        }
        Ok(())
    }

    /// Loads the initramfs. A file that does not exist is fatal only where the kernel `needs` the initramfs: U-Boot
    /// loads its own.
    pub fn load_initramfs(&mut self, needs: bool) -> Result<()> {
        for name in &self.config.initramfs {
            let path = self.prefixed(name);
            if self.has(&path)? {
                self.stage.initramfs.push(path);
            } else {
                let text = format!("no {path}, which config.txt names as the initramfs");
                let fault = BoardFault::fatal(FaultKind::Initramfs, text);
                self.faults.push(BoardFault { prevents_boot: needs, ..fault });
            }
        }
        if self.config.initramfs.is_empty() && self.config.is_on("auto_initramfs") {
            self.stage.initramfs.extend(self.automatic_initramfs()?);
        }
        Ok(())
    }

    /// The initramfs of the kernel: `initramfs8` of `kernel8.img`. The firmware goes on without one.
    fn automatic_initramfs(&self) -> Result<Option<String>> {
        let program = self.stage.program.as_deref().unwrap_or_default();
        let (folder, name) = program.rsplit_once('/').map_or(("", program), |(folder, name)| (folder, name));
        let Some(suffix) = name.strip_prefix("kernel").and_then(|name| name.strip_suffix(".img")) else {
            return Ok(None);
        };
        let separator = if folder.is_empty() { "" } else { "/" };
        let path = format!("{folder}{separator}initramfs{suffix}");
        Ok(self.has(&path)?.then_some(path))
    }
}
