//! The U-Boot on FIRMWARE, and whether the kernel that it loads would overwrite the device tree.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::Addresses;
use super::firmware::{Firmware, FirmwareFile};
use super::kernel::Kernel;
use crate::bail;
use crate::base::Bytes;

/// A U-Boot that the firmware of a Pi starts, with room for the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UBoot {
    /// The name of the file on FIRMWARE.
    pub file: String,
    /// The first address behind the kernel.
    pub kernel_end: u64,
    /// The address of the device tree.
    pub device_tree: u64,
}

impl fmt::Display for UBoot {
    /// `u-boot.bin, with 3.9 MiB between the kernel and the device tree`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = Bytes(self.device_tree.saturating_sub(self.kernel_end));
        write!(f, "{}, with {room} between the kernel and the device tree", self.file)
    }
}

/// The length of the longest name in FAT, in bytes: 255 characters, each of at most 3 bytes in UTF-8.
const MAX_NAME: usize = 3 * 255;

/// A U-Boot on FIRMWARE, before the kernel that it starts is known.
#[derive(Debug, PartialEq, Eq)]
pub struct UBootProgram {
    file: String,
    addresses: Addresses,
}

/// The files that the firmware of a Pi starts where `config.txt` names none; each board has its own.
const DEFAULT_KERNELS: &[&str] =
    &["kernel_2712.img", "kernel8.img", "kernel7l.img", "kernel7.img", "kernel.img"];

/// The U-Boot programs among the files that the firmware may start: those that `config.txt` names in the sections of
/// all boards, or else the default ones.
///
/// # Errors
/// A file that does not exist or is empty, a name that is too long, and a FIRMWARE on which the firmware finds nothing
/// to start.
pub fn uboot_programs(firmware: &impl Firmware) -> Result<Vec<UBootProgram>> {
    let mut found = Vec::new();
    for file in kernel_files(firmware)? {
        match firmware.file(&file)? {
            None => bail!(Verification, "config.txt names {file}, which does not exist"),
            Some(FirmwareFile { is_empty: true, .. }) => {
                bail!(Verification, "{file}, which the firmware starts, is empty")
            }
            Some(FirmwareFile { addresses, .. }) => {
                found.extend(addresses.map(|addresses| UBootProgram { file, addresses }));
            }
        }
    }
    Ok(found)
}

/// The names of the files that the firmware may start: those in `config.txt`, or else the default ones that exist.
///
/// # Errors
/// No such file, and a name that is too long.
fn kernel_files(firmware: &impl Firmware) -> Result<Vec<String>> {
    let config = firmware.config()?;
    let text = config.as_deref().unwrap_or_default();
    let named = named_kernels(text);
    if let Some(long) = named.iter().find(|file| file.len() > MAX_NAME) {
        bail!(
            Verification,
            "config.txt names a kernel with a name of {} bytes, more than the limit of {MAX_NAME} bytes",
            long.len()
        );
    }
    if !named.is_empty() {
        return Ok(named);
    }
    let defaults = default_kernels(firmware)?;
    // An included file, which is not read, may name a kernel.
    if defaults.is_empty() && !has_include(text) {
        let config = if config.is_some() { "config.txt names no kernel" } else { "there is no config.txt" };
        bail!(
            Verification,
            "{config}, and there is no kernel8.img either: the firmware of a Pi starts nothing"
        );
    }
    Ok(defaults)
}

/// The files of [`DEFAULT_KERNELS`] that exist.
fn default_kernels(firmware: &impl Firmware) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in DEFAULT_KERNELS {
        if firmware.has(file)? {
            found.push((*file).to_owned());
        }
    }
    Ok(found)
}

/// Whether the `config.txt` includes another file.
fn has_include(config: &str) -> bool {
    config.lines().any(|line| line.trim_start().starts_with("include "))
}

/// The U-Boots of `programs`, each with the memory that `kernel` takes when that U-Boot starts it.
///
/// # Errors
/// A kernel whose memory reaches the device tree: the kernel would overwrite the device tree before reading it.
pub fn uboots_with_room(programs: Vec<UBootProgram>, kernel: Kernel) -> Result<Vec<UBoot>> {
    programs
        .into_iter()
        .map(|UBootProgram { file, addresses }| UBoot::with_room(&file, addresses, kernel))
        .collect()
}

impl UBoot {
    /// The U-Boot in `file`, with the memory that `kernel` takes when this U-Boot starts it.
    ///
    /// # Errors
    /// A kernel that would overwrite the device tree.
    pub fn with_room(file: &str, addresses: Addresses, kernel: Kernel) -> Result<Self> {
        let kernel_end = kernel.end_address(addresses.kernel);
        let device_tree = addresses.device_tree;
        if kernel_end <= device_tree {
            return Ok(Self { file: file.to_owned(), kernel_end, device_tree });
        }
        bail!(
            Verification,
            "the kernel takes the memory up to {kernel_end:#x}, and {file} loads the device tree at {device_tree:#x}, \
             which the kernel would overwrite";
            hint: "use a smaller kernel or another U-Boot"
        )
    }
}

/// The values of `kernel=` in a `config.txt`, each once.
fn named_kernels(config: &str) -> Vec<String> {
    let values = config.lines().filter_map(|line| line.trim().strip_prefix("kernel="));
    let mut names = values.map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::kernel::tests::header;

    const PROGRAM: &[u8] =
        b"code\0kernel_addr_r\0fdt_high=ffffffff\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0code";

    #[test]
    fn each_kernel_of_config_txt_is_named_once() {
        let config = "[all]\n# kernel=x\n[pi3]\nkernel=b.bin\r\n[pi02]\nkernel=b.bin\n[pi4]\n kernel=a.bin\n";
        assert_eq!(named_kernels(config), ["a.bin", "b.bin"]);
        assert_eq!(named_kernels("arm_64bit=1\n"), [""; 0]);
    }

    #[test]
    fn a_kernel_that_reaches_the_device_tree_is_refused() {
        let addresses = Addresses { kernel: 0x20_0000, device_tree: 0x260_0000 };
        let uboot =
            |size| UBoot::with_room("u-boot.bin", addresses, Kernel::read(&header(size)[..]).unwrap());
        assert_eq!(uboot(0x240_0000).unwrap().kernel_end, 0x260_0000);
        let error = uboot(0x261_0000).unwrap_err();
        assert_eq!(
            crate::base::failure::with_hint(&error),
            "the kernel takes the memory up to 0x2810000, and u-boot.bin loads the device tree at 0x2600000, \
             which the kernel would overwrite; use a smaller kernel or another U-Boot"
        );
    }

    #[test]
    fn an_address_at_the_end_of_the_memory_does_not_overflow() {
        let program = b"\0kernel_addr_r=0xffffffffffffffff\0fdt_addr_r=0x02600000\0";
        let addresses = Addresses::find_in(program).unwrap();
        let kernel = Kernel::read(&header(33 << 20)[..]).unwrap();
        let programs = vec![UBootProgram { file: "u-boot.bin".into(), addresses }];
        let error = uboots_with_room(programs, kernel).unwrap_err();
        assert!(error.to_string().contains("takes the memory up to 0xffffffffffffffff"), "{error}");
    }

    #[test]
    fn fuzz() {
        let kernel = Kernel::read(&header(33 << 20)[..]).unwrap();
        crate::base::fuzz::check(&[PROGRAM], |bytes| {
            let addresses = FirmwareFile::of(bytes).addresses?;
            let programs = vec![UBootProgram { file: "u-boot.bin".into(), addresses }];
            uboots_with_room(programs, kernel).ok().map(|uboots| uboots[0].to_string())
        });
        crate::base::fuzz::check_text(
            &["[all]\n# kernel=x\n[pi3]\nkernel=b.bin\r\n kernel=a.bin\n"],
            named_kernels,
        );
    }
}
