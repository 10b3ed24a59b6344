//! The programs that the firmware of a Pi starts: a U-Boot, or a Linux kernel.

use std::collections::BTreeSet;

use super::kernel::Kernel;
use super::uboot::Addresses;

/// The length of the longest name of a device tree in a U-Boot.
const MAX_TREE_NAME: usize = 128;

/// The content of a file that the firmware starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    Empty,
    UBoot(UBootFacts),
    /// A Linux kernel of 64 bits, which U-Boot can start too.
    Linux,
    /// A program of 32 bits: a U-Boot or a Linux kernel.
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
    /// The names of the device trees that it knows, without their folder.
    pub device_trees: BTreeSet<String>,
}

impl Program {
    /// The program with the content `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if is_arm32(bytes) {
            return Self::Arm32;
        }
        if let Some(uboot) = UBootFacts::of(bytes) {
            return Self::UBoot(uboot);
        }
        if Kernel::read(bytes).is_ok() { Self::Linux } else { Self::Unknown }
    }
}

impl UBootFacts {
    /// The facts about the U-Boot `bytes`; `None` where it is no U-Boot of 64 bits.
    ///
    /// The start of U-Boot is in its `arch/arm/cpu/armv8/start.S`: a branch of 4 bytes, which is padded to 8 bytes, the
    /// address of its text, and its size up to the end of what the file has. The same is behind the header of a Linux
    /// kernel, where U-Boot is built to have one.
    fn of(bytes: &[u8]) -> Option<Self> {
        let whole_size = [0, 64].into_iter().find_map(|start| whole_size(bytes, start));
        let addresses = Addresses::find_in(bytes);
        if whole_size.is_none() && addresses.is_none() {
            return None;
        }
        Some(Self { addresses, whole_size, size: bytes.len() as u64, device_trees: device_trees(bytes) })
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

/// Whether `bytes` begin with a program of 32 bits: with the branch that begins a U-Boot, or with the magic number of a
/// compressed kernel (Linux, `Documentation/arch/arm/booting.rst`).
fn is_arm32(bytes: &[u8]) -> bool {
    let is_branch = bytes.get(3) == Some(&0xea);
    is_branch || bytes.get(0x24..0x28) == Some(&[0x18, 0x28, 0x6f, 0x01])
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

/// The names of the device trees in `bytes`, without their folders.
fn device_trees(bytes: &[u8]) -> BTreeSet<String> {
    let strings = bytes.split(|byte| *byte == 0).filter(|string| string.ends_with(b".dtb"));
    let short = strings.filter(|string| string.len() <= MAX_TREE_NAME);
    let names = short.filter_map(|string| str::from_utf8(string).ok());
    names.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect()
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
        bytes.resize(128 << 10, 7);
        bytes
    }

    #[test]
    fn programs_are_recognized_by_their_first_bytes() {
        let whole = uboot(&["bcm2711-rpi-4-b.dtb"]);
        let Program::UBoot(facts) = Program::of(&whole) else { panic!("{:?}", Program::of(&whole)) };
        assert!(!facts.is_truncated() && facts.knows("bcm2711-rpi-4-b.dtb"), "{facts:?}");
        for size in [whole.len() - 1, 4096, 40] {
            let Program::UBoot(facts) = Program::of(&whole[..size]) else { panic!("{size}") };
            assert!(facts.is_truncated(), "{size}");
        }
        assert_eq!(Program::of(&header(33 << 20)), Program::Linux);
        assert_eq!(Program::of(b""), Program::Empty);
        assert_eq!(Program::of(b"text"), Program::Unknown);
        // A vector table begins with a branch.
        assert_eq!(Program::of(&[0x0f, 0, 0, 0xea, 0, 0, 0, 0]), Program::Arm32);
        let mut compressed = vec![0; 64];
        compressed[0x24..0x28].copy_from_slice(&0x016f_2818_u32.to_le_bytes());
        assert_eq!(Program::of(&compressed), Program::Arm32);
    }

    #[test]
    fn a_u_boot_with_the_header_of_a_kernel_is_no_kernel() {
        let with_header = [header(33 << 20), uboot(&[])[8..].to_vec()].concat();
        let Program::UBoot(facts) = Program::of(&with_header) else { panic!() };
        assert_eq!(facts.whole_size, Some(128 << 10));
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check(&[&uboot(&["a.dtb"])[..2048], &header(33 << 20)], |bytes| {
            Program::of(bytes)
        });
    }
}
