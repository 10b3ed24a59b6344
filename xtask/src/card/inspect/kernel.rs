//! The header of an `AArch64` kernel, which says how much memory it takes.

use std::io::Read;

use anyhow::{Context, Result};

use super::format::Format;
use super::partition::le32;
use crate::base::failure::ExitKind;

/// The size of the header in bytes.
const SIZE: usize = 64;

/// How much of a kernel's file is read, in bytes. The first block of any compression is shorter.
pub const INPUT: u64 = 1 << 20;

/// U-Boot moves a kernel to a multiple of this, in bytes.
const ALIGN: u64 = 2 << 20;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// How far behind a multiple of 2 MiB it begins, in bytes.
    offset: u64,
    /// The memory that it takes, in bytes: more than its file, as it has variables.
    pub size: u64,
    /// It may be anywhere in the memory; an old one is at its beginning.
    anywhere: bool,
}

impl Kernel {
    /// Reads the header out of the kernel's `file`, which may be compressed as U-Boot takes it. Reads at most 1 MiB.
    ///
    /// # Errors
    /// What is no `Image` of `AArch64`: U-Boot does not start it.
    pub fn read(file: impl Read) -> Result<Self> {
        let mut file = file.take(INPUT);
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head).context("reading its header")?;
        let whole = head.clone();
        let whole = whole.chain(file);
        let mut header = Vec::new();
        let read = match Format::sniff(&head) {
            Format::Gzip => flate2::read::GzDecoder::new(whole).take(SIZE as u64).read_to_end(&mut header),
            Format::Zstd => zstd::Decoder::new(whole)?.take(SIZE as u64).read_to_end(&mut header),
            Format::Raw | Format::Xz => whole.take(SIZE as u64).read_to_end(&mut header),
        };
        read.context("reading its header")?;
        Self::parse(&header).ok_or_else(|| ExitKind::Verification.error("it is no kernel for AArch64"))
    }

    fn parse(header: &[u8]) -> Option<Self> {
        let le64 = |at: usize| u64::from(le32(&header[at..])) | u64::from(le32(&header[at + 4..])) << 32;
        let header = header.get(..SIZE)?;
        (&header[56..60] == b"ARM\x64").then(|| Self {
            offset: le64(8),
            size: le64(16),
            anywhere: le64(24) & 8 != 0,
        })
    }

    /// The first byte of the memory behind the kernel, once U-Boot has it where it will run. `loaded` is where
    /// its file was read to.
    pub fn end(self, loaded: u64) -> u64 {
        let moved = || loaded.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
        let base = if self.anywhere { moved() } else { 0 };
        base.saturating_add(self.offset).saturating_add(self.size)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of a kernel that takes `size` bytes of memory, anywhere.
    pub fn header(size: u64) -> Vec<u8> {
        let mut header = vec![0; SIZE];
        header[16..24].copy_from_slice(&size.to_le_bytes());
        header[24] = 0xa;
        header[56..60].copy_from_slice(b"ARMd");
        header
    }

    #[test]
    fn kernels_however_they_are_stored() {
        let raw = [header(33 << 20), vec![7; 100_000]].concat();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, &raw).unwrap();
        for file in [raw.clone(), gz.finish().unwrap(), zstd::encode_all(&raw[..], 1).unwrap()] {
            let kernel = Kernel::read(&file[..]).unwrap();
            assert_eq!(kernel, Kernel { offset: 0, size: 33 << 20, anywhere: true });
        }
        for file in [&b"no kernel"[..], b"", &raw[..63]] {
            assert_eq!(Kernel::read(file).unwrap_err().to_string(), "it is no kernel for AArch64");
        }
    }

    #[test]
    fn where_a_kernel_ends() {
        let kernel = Kernel { offset: 0, size: 0x201_0000, anywhere: true };
        assert_eq!(kernel.end(0x8_0000), 0x221_0000);
        assert_eq!(kernel.end(0x20_0000), 0x221_0000);
        let old = Kernel { offset: 0x8_0000, anywhere: false, ..kernel };
        assert_eq!(old.end(0x100_0000), 0x209_0000);
        assert_eq!(Kernel { size: u64::MAX, ..kernel }.end(0x8_0000), u64::MAX);
        assert_eq!(kernel.end(u64::MAX), u64::MAX);
        assert_eq!(kernel.end(u64::MAX - (3 << 20)), u64::MAX);
    }

    /// Raw blocks without content, to the end of the world.
    #[test]
    fn a_kernel_that_is_a_header_and_a_hole() {
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
            Kernel::read(bytes).map(|kernel| kernel.end(0x8_0000).max(kernel.end(u64::MAX)))
        });
    }
}
