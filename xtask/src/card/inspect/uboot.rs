//! The U-Boot on FIRMWARE: where it puts the kernel and the device tree, and whether the one runs into the other.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::fat::Fat;
use super::kernel::Kernel;
use crate::base::Bytes;
use crate::base::failure::ExitKind;

/// A U-Boot that the firmware of a Pi hands over to, with room for the card's kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UBoot {
    /// Its file on FIRMWARE.
    pub file: String,
    /// The first address behind the kernel.
    pub kernel_end: u64,
    /// The address of the device tree.
    pub tree: u64,
}

impl fmt::Display for UBoot {
    /// `u-boot.bin, with 3.9 MiB between the kernel and the device tree`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = Bytes(self.tree.saturating_sub(self.kernel_end));
        write!(f, "{}, with {room} between the kernel and the device tree", self.file)
    }
}

/// No `config.txt` is larger, in bytes.
const LARGEST_CONFIG: u32 = 1 << 20;
/// No name of FAT is longer, in bytes.
const LONGEST_NAME: usize = 3 * 255;

/// A U-Boot as it is on FIRMWARE.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    file: String,
    /// Where it reads a kernel to, and where the device tree.
    kernel: u64,
    tree: u64,
}

/// What the firmware of a Pi starts where `config.txt` names nothing, by the kind of the board.
const UNNAMED: [&str; 5] = ["kernel_2712.img", "kernel8.img", "kernel7l.img", "kernel7.img", "kernel.img"];

/// All that `config.txt` names, as its sections are for different boards.
///
/// # Errors
/// A file that is named and not there, and a card on which the firmware finds nothing to start.
pub fn programs(firmware: &Fat) -> Result<Vec<Program>> {
    let config = firmware.read_within("config.txt", LARGEST_CONFIG)?;
    let text = String::from_utf8_lossy(config.as_deref().unwrap_or_default());
    let named = named(&text);
    let unnamed = if named.is_empty() { unnamed(firmware)? } else { Vec::new() };
    // What an included file names is not looked at.
    if named.is_empty() && unnamed.is_empty() && !includes(&text) {
        let config = if config.is_some() { "config.txt names no kernel" } else { "there is no config.txt" };
        let text =
            format!("{config}, and no kernel8.img is there either: the firmware of a Pi starts nothing");
        return Err(ExitKind::Verification.error(text));
    }
    let mut found = Vec::new();
    for file in named.into_iter().chain(unnamed) {
        if file.len() > LONGEST_NAME {
            let text = format!("config.txt names a file with a name of {} bytes", file.len());
            return Err(ExitKind::Verification.error(text));
        }
        let bytes = firmware.read(&file)?.ok_or_else(|| {
            ExitKind::Verification.error(format!("config.txt names {file}, which is not there"))
        })?;
        if bytes.is_empty() {
            return Err(ExitKind::Verification.error(format!("config.txt names {file}, which is empty")));
        }
        // What else may be named is a kernel, which needs no U-Boot.
        if let Some((kernel, tree)) = addresses(&bytes) {
            found.push(Program { file, kernel, tree });
        }
    }
    Ok(found)
}

/// Those of [`UNNAMED`] that are there.
fn unnamed(firmware: &Fat) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in UNNAMED {
        if firmware.has(file)? {
            found.push(file.to_owned());
        }
    }
    Ok(found)
}

fn includes(config: &str) -> bool {
    config.lines().any(|line| line.trim_start().starts_with("include "))
}

/// What `programs` do with `kernel`.
///
/// # Errors
/// A kernel whose memory reaches the device tree: it would be overwritten before the kernel has read it.
pub fn with_room(programs: Vec<Program>, kernel: Kernel) -> Result<Vec<UBoot>> {
    let placed = programs.into_iter().map(|Program { file, kernel: loaded, tree }| {
        let uboot = UBoot { file, kernel_end: kernel.end(loaded), tree };
        has_room(&uboot).map(|()| uboot)
    });
    placed.collect()
}

fn has_room(uboot: &UBoot) -> Result<()> {
    let UBoot { file, kernel_end, tree } = uboot;
    if kernel_end <= tree {
        return Ok(());
    }
    let text = format!(
        "the kernel takes the memory up to {kernel_end:#x}, and {file} puts the device tree at {tree:#x}, which \
         the kernel would overwrite; take a smaller kernel or another U-Boot"
    );
    Err(ExitKind::Verification.error(text))
}

/// The values of `kernel=` in a `config.txt`, each once.
fn named(config: &str) -> Vec<String> {
    let values = config.lines().filter_map(|line| line.trim().strip_prefix("kernel="));
    let mut names = values.map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

/// Where the U-Boot `program` loads a kernel and a device tree, by the settings that are built into it.
fn addresses(program: &[u8]) -> Option<(u64, u64)> {
    Some((setting(program, b"\0kernel_addr_r=")?, setting(program, b"\0fdt_addr_r=")?))
}

fn setting(program: &[u8], name: &[u8]) -> Option<u64> {
    let at = program.windows(name.len()).position(|window| window == name)? + name.len();
    let value = program[at..].split(|byte| *byte == 0).next()?;
    u64::from_str_radix(str::from_utf8(value).ok()?.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, Limited};
    use super::*;

    const PROGRAM: &[u8] =
        b"code\0kernel_addr_r\0fdt_high=ffffffff\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0code";

    #[test]
    fn settings_of_a_program() {
        assert_eq!(addresses(PROGRAM), Some((0x8_0000, 0x260_0000)));
        assert_eq!(addresses(b"\0kernel_addr_r=80000\0"), None);
        assert_eq!(addresses(b"\0kernel_addr_r=${a}\0fdt_addr_r=1\0"), None);
    }

    #[test]
    fn what_config_txt_names() {
        let config = "[all]\n# kernel=x\n[pi3]\nkernel=b.bin\r\n[pi02]\nkernel=b.bin\n[pi4]\n kernel=a.bin\n";
        assert_eq!(named(config), ["a.bin", "b.bin"]);
        assert_eq!(named("arm_64bit=1\n"), [""; 0]);
    }

    /// What is found on a FIRMWARE with these files.
    fn found(files: &[(&str, &[u8])]) -> Result<usize, String> {
        let files = files.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect::<Vec<_>>();
        let (disk, image) = (tempfile::tempfile().unwrap(), super::super::fat::tests::real(&files));
        std::os::unix::fs::FileExt::write_all_at(&disk, &image, 0).unwrap();
        let part = Limited::new(&disk, 0, image.len() as u64, Budget::unattended());
        let found = programs(&Fat::open(part).unwrap());
        found.map(|found| found.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_firmware_that_has_nothing_to_start() {
        let nothing = "and no kernel8.img is there either: the firmware of a Pi starts nothing";
        assert_eq!(found(&[]).unwrap_err(), format!("there is no config.txt, {nothing}"));
        let silent = ("config.txt", &b"arm_64bit=1\n"[..]);
        assert_eq!(found(&[silent]).unwrap_err(), format!("config.txt names no kernel, {nothing}"));
        assert_eq!(found(&[silent, ("kernel8.img", PROGRAM)]), Ok(1));
        assert_eq!(found(&[("kernel8.img", b"a kernel")]), Ok(0));
        assert_eq!(found(&[("config.txt", b"include other.txt\n")]), Ok(0));
        assert_eq!(found(&[("config.txt", b"kernel=u-boot.bin\n"), ("u-boot.bin", PROGRAM)]), Ok(1));
    }

    #[test]
    fn room_for_the_kernel() {
        let uboot = |kernel_end| UBoot { file: "u-boot.bin".into(), kernel_end, tree: 0x260_0000 };
        assert!(has_room(&uboot(0x260_0000)).is_ok());
        let error = has_room(&uboot(0x281_0000)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel takes the memory up to 0x2810000, and u-boot.bin puts the device tree at 0x2600000, \
             which the kernel would overwrite; take a smaller kernel or another U-Boot"
        );
    }

    #[test]
    fn addresses_at_the_end_of_the_memory() {
        let program = b"\0kernel_addr_r=0xffffffffffffffff\0fdt_addr_r=0x02600000\0";
        let (kernel, tree) = addresses(program).unwrap();
        let kernel_header = Kernel::read(&super::super::kernel::tests::header(33 << 20)[..]).unwrap();
        let programs = vec![Program { file: "u-boot.bin".into(), kernel, tree }];
        let error = with_room(programs, kernel_header).unwrap_err();
        assert!(error.to_string().contains("takes the memory up to 0xffffffffffffffff"), "{error}");
    }

    #[test]
    fn fuzz() {
        let kernel = Kernel::read(&super::super::kernel::tests::header(33 << 20)[..]).unwrap();
        crate::base::fuzz::check(&[PROGRAM], |bytes| {
            let (loaded, tree) = addresses(bytes)?;
            let programs = vec![Program { file: "u-boot.bin".into(), kernel: loaded, tree }];
            with_room(programs, kernel).ok().map(|uboots| uboots[0].to_string())
        });
        crate::base::fuzz::check_text(&["[all]\n# kernel=x\n[pi3]\nkernel=b.bin\r\n kernel=a.bin\n"], named);
    }
}
