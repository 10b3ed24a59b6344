//! Files of members that stand one behind the other: gzip and bzip2. What follows the last member is read too.

use std::fmt;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::sync::{Arc, OnceLock};

use super::limits::{TOO_MANY_PARTS, max_parts};

/// The size of the largest metadata behind the last member, in bytes.
const MAX_METADATA: usize = 1 << 20;
/// The last bytes of a file with metadata of `OpenWrt`: this magic number, a checksum, a type and a length (`fwtool`).
const OPENWRT: &[u8] = b"FWx0";
const OPENWRT_END: usize = 16;

/// A decoder of one member.
pub trait Member<R>: Read + Sized {
    /// The first byte of every member.
    const FIRST: u8;
    fn begin(file: BufReader<R>) -> Self;
    fn into_file(self) -> BufReader<R>;
}

impl<R: Read> Member<R> for flate2::bufread::GzDecoder<BufReader<R>> {
    const FIRST: u8 = 0x1f;

    fn begin(file: BufReader<R>) -> Self {
        Self::new(file)
    }

    fn into_file(self) -> BufReader<R> {
        self.into_inner()
    }
}

impl<R: Read> Member<R> for bzip2::bufread::BzDecoder<BufReader<R>> {
    const FIRST: u8 = b'B';

    fn begin(file: BufReader<R>) -> Self {
        Self::new(file)
    }

    fn into_file(self) -> BufReader<R> {
        self.into_inner()
    }
}

/// What stands behind the last member, and is not part of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// The number of bytes.
    Zeros(u64),
    OpenWrt(u64),
}

/// Where a decoder puts the trailer that it has found.
pub type FoundTrailer = Arc<OnceLock<Trailer>>;

/// A decoder of all members.
pub struct Members<D> {
    member: Option<D>,
    /// The number of further members that are allowed.
    left: u64,
    trailer: FoundTrailer,
}

impl<D> Members<D> {
    /// Decodes `file`, which has `len` bytes.
    pub fn new<R: Read>(file: R, len: u64, trailer: FoundTrailer) -> Self
    where
        D: Member<R>,
    {
        let member = D::begin(BufReader::with_capacity(64 << 10, file));
        Self { member: Some(member), left: max_parts(len), trailer }
    }

    /// Goes to what stands behind a member: the next one, a trailer, or the end.
    fn next_member<R: Read>(&mut self, mut file: BufReader<R>) -> Result<()>
    where
        D: Member<R>,
    {
        match file.fill_buf()?.first() {
            None => Ok(()),
            Some(first) if *first == D::FIRST => {
                let too_many = || Error::new(ErrorKind::InvalidData, TOO_MANY_PARTS);
                self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
                self.member = Some(D::begin(file));
                Ok(())
            }
            Some(_) => {
                let trailer = Trailer::read(&mut file)?;
                let _ = self.trailer.set(trailer);
                Ok(())
            }
        }
    }
}

/// The reading of members of one kind.
macro_rules! read_members {
    ($decoder:ty) => {
        impl<R: Read> Read for Members<$decoder> {
            fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
                while let Some(member) = &mut self.member {
                    let produced = member.read(bytes)?;
                    if produced > 0 || bytes.is_empty() {
                        return Ok(produced);
                    }
                    if let Some(member) = self.member.take() {
                        self.next_member(member.into_file())?;
                    }
                }
                Ok(0)
            }
        }
    };
}
read_members!(flate2::bufread::GzDecoder<BufReader<R>>);
read_members!(bzip2::bufread::BzDecoder<BufReader<R>>);

impl Trailer {
    /// Reads `file` to its end.
    ///
    /// # Errors
    /// `InvalidData` for bytes of no known kind: the start of a member may be damaged.
    fn read(file: &mut impl BufRead) -> Result<Self> {
        let mut metadata = Vec::new();
        file.by_ref().take(MAX_METADATA as u64).read_to_end(&mut metadata)?;
        let mut len = metadata.len() as u64;
        let mut has_only_zeros = true;
        loop {
            let bytes = file.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            has_only_zeros &= bytes.iter().all(|byte| *byte == 0);
            file.consume(count);
            len += count as u64;
        }
        let end = metadata.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let last = &metadata[end.saturating_sub(OPENWRT_END)..end];
        match has_only_zeros {
            true if end == 0 => Ok(Self::Zeros(len)),
            true if last.windows(OPENWRT.len()).any(|window| window == OPENWRT) => Ok(Self::OpenWrt(len)),
            _ => Err(Error::new(
                ErrorKind::InvalidData,
                format!("{len} bytes behind its stream are of no known kind"),
            )),
        }
    }
}

impl fmt::Display for Trailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeros(len) => write!(f, "{len} bytes of padding"),
            Self::OpenWrt(len) => write!(f, "{len} bytes of OpenWrt's metadata"),
        }
    }
}
