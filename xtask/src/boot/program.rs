//! The programs that the firmware of a Pi starts: a U-Boot, or a Linux kernel.

use std::collections::BTreeSet;

use super::addresses::Addresses;
use super::board::Board;
use super::kernel::Kernel;
use crate::base::Format;

/// How much of a program is read, in bytes: a whole U-Boot, and more than the header of a kernel, which may be larger.
pub const MAX_PROGRAM: u32 = 16 << 20;

/// The content of a file that the firmware starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    Empty,
    UBoot(UBootFacts),
    /// A Linux kernel of 64 bits, which U-Boot can start too. It may be compressed with gzip.
    Linux,
    /// A Linux kernel of 32 bits.
    Linux32,
    /// Another program of 32 bits, such as a U-Boot.
    Arm32,
    Unknown,
}

/// The facts about a U-Boot of 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UBootFacts {
    /// `None` where the settings have none.
    pub addresses: Option<Addresses>,
    /// The size of the whole program, in bytes, which its header has; `None` where the header is of another form.
    pub whole_size: Option<u64>,
    /// The size of the file, in bytes.
    pub size: u64,
    /// The device trees of [`Board::kernel_trees`] that it knows.
    pub device_trees: BTreeSet<String>,
}

impl Program {
    /// The program in a file of `size` bytes that begins with `bytes`, of which there are up to [`MAX_PROGRAM`].
    pub fn of(bytes: &[u8], size: u64) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        // The magic number of a kernel that decompresses itself (Linux, `Documentation/arch/arm/booting.rst`).
        if bytes.get(0x24..0x28) == Some(&[0x18, 0x28, 0x6f, 0x01]) {
            return Self::Linux32;
        }
        // The branch of 32 bits that begins a U-Boot.
        if bytes.get(3) == Some(&0xea) {
            return Self::Arm32;
        }
        if let Some(uboot) = UBootFacts::of(bytes, size) {
            return Self::UBoot(uboot);
        }
        // Of the compressions, the firmware knows gzip alone.
        let is_readable = matches!(Format::sniff(bytes), Format::Raw | Format::Gzip);
        if is_readable && Kernel::read(bytes).is_ok() { Self::Linux } else { Self::Unknown }
    }
}

impl UBootFacts {
    /// The facts about the U-Boot of `size` bytes that begins with `bytes`; `None` where it is no U-Boot of 64 bits.
    ///
    /// The start of U-Boot is in its `arch/arm/cpu/armv8/start.S`: a branch of 4 bytes, which is padded to 8 bytes, the
    /// address of its text, and its size up to the end of what the file has. The same is behind the header of a Linux
    /// kernel, where U-Boot is built to have one.
    fn of(bytes: &[u8], size: u64) -> Option<Self> {
        let whole_size = [0, 64].into_iter().find_map(|start| whole_size(bytes, start));
        let addresses = Addresses::find_in(bytes);
        if whole_size.is_none() && addresses.is_none() {
            return None;
        }
        Some(Self { addresses, whole_size, size, device_trees: device_trees(bytes) })
    }

    /// Whether the file has less than the whole program.
    pub fn is_truncated(&self) -> bool {
        self.addresses.is_none() || self.whole_size.is_some_and(|whole| self.size < whole)
    }

    /// Whether this U-Boot knows the device tree `name`.
    pub fn knows(&self, name: &str) -> bool {
        self.device_trees.contains(name)
    }
}

/// The size that the header of U-Boot at `start` has, in bytes: more than its settings take, and less than a Pi has
/// memory.
fn whole_size(bytes: &[u8], start: usize) -> Option<u64> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word));
    // Behind the header of a kernel, the address of the text follows at once.
    if start == 0 && bytes.get(3)? & 0xfc != 0x14 || start > 0 && bytes.get(56..60)? != b"ARM\x64" {
        return None;
    }
    let text = word(start.max(8))?;
    let size = word(start.max(8) + 8)?;
    let bss_start = word(start.max(8) + 16)?;
    let bss_end = word(start.max(8) + 24)?;
    let is_plausible = text < 1 << 30 && (64 << 10..64 << 20).contains(&size);
    (is_plausible && size <= bss_start && bss_start <= bss_end && bss_end < 256 << 20).then_some(size)
}

/// The names in `bytes` that are a device tree of a board, without their folders. Other names are left out: a hostile
/// program has millions.
fn device_trees(bytes: &[u8]) -> BTreeSet<String> {
    let known = Board::kernel_trees();
    let strings = bytes.split(|byte| *byte == 0).filter(|string| string.ends_with(b".dtb"));
    let names = strings.filter_map(|string| str::from_utf8(string.rsplit(|byte| *byte == b'/').next()?).ok());
    names.filter(|name| known.contains(name)).map(str::to_owned).collect()
}

#[cfg(test)]
pub mod tests {
    use super::super::kernel::tests::header;
    use super::*;

    /// A U-Boot of 64 bits in the form of start.S, which knows the device trees `trees`.
    pub fn uboot(trees: &[&str]) -> Vec<u8> {
        let size: u64 = 128 << 10;
        let words = [0x1f20_03d5_1400_000a, 0, size, size, size + 4096];
        let mut bytes = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect::<Vec<_>>();
        bytes.extend(b"\0kernel_addr_r=0x00080000\0fdt_addr_r=0x02600000\0");
        for tree in trees {
            bytes.extend(format!("broadcom/{tree}\0").bytes());
        }
        bytes.resize(bytes.len().max(128 << 10), 7);
        bytes
    }

    #[test]
    fn programs_are_recognized_by_their_first_bytes() {
        let of = |bytes: &[u8]| Program::of(bytes, bytes.len() as u64);
        let whole = uboot(&["bcm2711-rpi-4-b.dtb"]);
        let Program::UBoot(facts) = of(&whole) else { panic!("{:?}", of(&whole)) };
        assert!(!facts.is_truncated() && facts.knows("bcm2711-rpi-4-b.dtb"), "{facts:?}");
        for size in [whole.len() - 1, 4096, 40] {
            let Program::UBoot(facts) = of(&whole[..size]) else { panic!("{size}") };
            assert!(facts.is_truncated(), "{size}");
        }
        assert_eq!(of(&header(33 << 20)), Program::Linux);
        assert_eq!(of(b""), Program::Empty);
        assert_eq!(of(b"text"), Program::Unknown);
        // A vector table begins with a branch.
        assert_eq!(of(&[0x0f, 0, 0, 0xea, 0, 0, 0, 0]), Program::Arm32);
        let mut compressed = vec![0; 64];
        compressed[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
        assert_eq!(of(&compressed), Program::Linux32);
    }

    /// The kernels of Raspberry Pi OS and of Ubuntu are compressed with gzip.
    #[test]
    fn the_firmware_decompresses_gzip_alone() {
        let kernel = header(33 << 20);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &kernel).unwrap();
        assert_eq!(Program::of(&gzip.finish().unwrap(), 1), Program::Linux);
        let zstd = zstd::encode_all(&kernel[..], 1).unwrap();
        assert_eq!(Program::of(&zstd, 1), Program::Unknown);
    }

    #[test]
    fn names_that_no_board_needs_are_not_kept() {
        let many = (0..10_000).map(|index| format!("{index}.dtb")).collect::<Vec<_>>();
        let names = many.iter().map(String::as_str).chain(["bcm2711-rpi-4-b.dtb"]).collect::<Vec<_>>();
        let Program::UBoot(facts) = Program::of(&uboot(&names), 1) else { panic!() };
        assert_eq!(facts.device_trees.len(), 1);
    }

    #[test]
    fn a_u_boot_with_the_header_of_a_kernel_is_no_kernel() {
        let with_header = [header(33 << 20), uboot(&[])[8..].to_vec()].concat();
        let Program::UBoot(facts) = Program::of(&with_header, 1 << 20) else { panic!() };
        assert_eq!(facts.whole_size, Some(128 << 10));
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check(&[&uboot(&["a.dtb"])[..2048], &header(33 << 20)], |bytes| {
            Program::of(bytes, bytes.len() as u64)
        });
    }
}
