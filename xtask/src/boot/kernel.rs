//! The header of an `AArch64` kernel, which has the amount of memory that the kernel takes (Linux,
//! `Documentation/arch/arm64/booting.rst`).

use std::io::Read;

use anyhow::{Context, Result};

use crate::base::Format;
use crate::failure;

/// The size of the header in bytes.
const SIZE: usize = 64;

/// The largest number of bytes that are read of a kernel's file. The first block of any compression is shorter.
const MAX_READ: u64 = 1 << 20;

/// U-Boot moves a kernel to a multiple of this, in bytes.
const ALIGN: u64 = 2 << 20;

/// The fields of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The offset of the kernel from a multiple of 2 MiB, in bytes.
    offset: u64,
    /// The memory that the kernel takes, in bytes: more than its file, because of its variables.
    pub size: u64,
    /// Whether the kernel may be anywhere in the memory. An old kernel must be at the start of the memory.
    is_relocatable: bool,
}

impl Kernel {
    /// Reads the header of the kernel in `file`, which may be compressed with gzip or zstd, as U-Boot accepts it. Reads
    /// at most [`MAX_READ`] bytes.
    ///
    /// # Errors
    /// A file that is no `Image` of `AArch64`: U-Boot does not start it.
    pub fn read(file: impl Read) -> Result<Self> {
        let mut file = file.take(MAX_READ);
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head).context("reading the header")?;
        let format = Format::sniff(&head);
        let whole_file = head.chain(file);
        let mut header = Vec::new();
        let read = match format {
            Format::Gzip => {
                flate2::read::GzDecoder::new(whole_file).take(SIZE as u64).read_to_end(&mut header)
            }
            Format::Zstd => zstd::Decoder::new(whole_file)?.take(SIZE as u64).read_to_end(&mut header),
            Format::Raw | Format::Xz | Format::Bzip2 => whole_file.take(SIZE as u64).read_to_end(&mut header),
        };
        read.context("reading the header")?;
        Self::parse(&header).ok_or_else(|| failure!(Verification, "not a kernel for AArch64"))
    }

    /// The fields of `header`; `None` where `header` is too short, or lacks the magic number.
    fn parse(header: &[u8]) -> Option<Self> {
        let header = header.get(..SIZE)?;
        let le64 = |at: usize| header[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        if &header[56..60] != b"ARM\x64" {
            return None;
        }
        // Bit 3 of the flags, which follow the size.
        let is_relocatable = le64(24) & 8 != 0;
        Some(Self { offset: le64(8), size: le64(16), is_relocatable })
    }

    /// The first address behind the kernel, after U-Boot has loaded the file to `load_address` and moved the kernel to
    /// the address where it runs.
    pub fn end_address(self, load_address: u64) -> u64 {
        let aligned = load_address.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
        let base = if self.is_relocatable { aligned } else { 0 };
        base.saturating_add(self.offset).saturating_add(self.size)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The header of a relocatable kernel that takes `size` bytes of memory.
    pub fn header(size: u64) -> Vec<u8> {
        let mut header = vec![0; SIZE];
        header[16..24].copy_from_slice(&size.to_le_bytes());
        header[24] = 0xa;
        header[56..60].copy_from_slice(b"ARMd");
        header
    }

    #[test]
    fn a_kernel_is_read_raw_and_compressed() {
        let raw = [header(33 << 20), vec![7; 100_000]].concat();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &raw).unwrap();
        for file in [raw.clone(), gz.finish().unwrap(), zstd::encode_all(&raw[..], 1).unwrap()] {
            let kernel = Kernel::read(&file[..]).unwrap();
            assert_eq!(kernel, Kernel { offset: 0, size: 33 << 20, is_relocatable: true });
        }
    }

    #[test]
    fn a_file_without_a_whole_header_is_no_kernel() {
        for file in [&b"no kernel"[..], b"", &header(33 << 20)[..63]] {
            assert_eq!(Kernel::read(file).unwrap_err().to_string(), "not a kernel for AArch64");
        }
    }

    #[test]
    fn the_end_of_a_kernel_is_computed_as_u_boot_does() {
        let kernel = Kernel { offset: 0, size: 0x201_0000, is_relocatable: true };
        assert_eq!(kernel.end_address(0x8_0000), 0x221_0000);
        assert_eq!(kernel.end_address(0x20_0000), 0x221_0000);
        let old = Kernel { offset: 0x8_0000, is_relocatable: false, ..kernel };
        assert_eq!(old.end_address(0x100_0000), 0x209_0000);
        assert_eq!(Kernel { size: u64::MAX, ..kernel }.end_address(0x8_0000), u64::MAX);
        assert_eq!(kernel.end_address(u64::MAX), u64::MAX);
        assert_eq!(kernel.end_address(u64::MAX - (3 << 20)), u64::MAX);
    }

    /// The compressed data is 1 TiB of blocks without content.
    #[test]
    fn an_endless_file_is_read_up_to_the_limit() {
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        let gzip = [0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 0, 3];
        for (header, filling) in [(&zstd[..], 0), (&gzip, b'a')] {
            let mut rest = std::io::repeat(filling).take(1 << 40);
            assert!(Kernel::read(header.chain(&mut rest)).is_err());
            assert!(rest.limit() > (1 << 40) - (2 << 20), "{}", rest.limit());
        }
    }

    #[test]
    fn fuzz() {
        let raw = [header(33 << 20), vec![7; 1000]].concat();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &raw).unwrap();
        let packed = zstd::encode_all(&raw[..], 1).unwrap();
        crate::base::fuzz::check(&[&raw, &gz.finish().unwrap(), &packed], |bytes| {
            Kernel::read(bytes).map(|kernel| kernel.end_address(0x8_0000).max(kernel.end_address(u64::MAX)))
        });
    }
}
