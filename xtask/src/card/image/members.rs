//! Files of several members, one after the other: gzip and bzip2. The trailer after the last member is read too.

use std::fmt;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::sync::{Arc, OnceLock};

use super::limits::{TOO_MANY_PARTS, max_parts};
use crate::base::is_all_zero;

/// The size of the largest metadata after the last member, in bytes.
const MAX_METADATA: usize = 1 << 20;
/// The magic number in the end of the metadata of `OpenWrt` (`fwtool`).
const OPENWRT_MAGIC: &[u8] = b"FWx0";
/// The length of the end of the metadata of `OpenWrt` in bytes: the magic number, a checksum, a type and a length.
const OPENWRT_END: usize = 16;

/// A decoder of one member.
pub trait Member<R>: Read + Sized {
    /// The first byte of every member.
    const FIRST: u8;
    /// Decodes the member that begins at the position of `file`.
    fn begin(file: BufReader<R>) -> Self;
    /// The file at the position after the member, once the member was read to its end.
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

/// The bytes after the last member, which are not part of the content: their kind and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// Padding of zeros.
    Zeros(u64),
    /// Metadata of `OpenWrt`, with or without padding.
    OpenWrt(u64),
}

/// The trailer of a file; empty until a decoder has found one.
pub type FoundTrailer = Arc<OnceLock<Trailer>>;

/// A decoder of all members.
pub struct Members<D> {
    member: Option<D>,
    /// The number of further members that are allowed.
    allowed: u64,
    trailer: FoundTrailer,
}

impl<D> Members<D> {
    /// Decodes `file`, which has `len` bytes. `trailer` gets what follows the last member.
    pub fn new<R: Read>(file: R, len: u64, trailer: FoundTrailer) -> Self
    where
        D: Member<R>,
    {
        let member = D::begin(BufReader::with_capacity(64 << 10, file));
        Self { member: Some(member), allowed: max_parts(len), trailer }
    }

    /// Begins the member that follows in `file`, or reads the trailer. Does nothing at the end of `file`.
    fn begin_next<R: Read>(&mut self, mut file: BufReader<R>) -> Result<()>
    where
        D: Member<R>,
    {
        match file.fill_buf()?.first() {
            None => Ok(()),
            Some(first) if *first == D::FIRST => {
                let too_many = || Error::new(ErrorKind::InvalidData, TOO_MANY_PARTS);
                self.allowed = self.allowed.checked_sub(1).ok_or_else(too_many)?;
                self.member = Some(D::begin(file));
                Ok(())
            }
            Some(_) => {
                let trailer = Trailer::read(&mut file)?;
                // A file has one trailer; a second reading finds the same.
                let _ = self.trailer.set(trailer);
                Ok(())
            }
        }
    }
}

/// Implements `Read` for the members of one kind of decoder.
macro_rules! impl_read {
    ($decoder:ty) => {
        impl<R: Read> Read for Members<$decoder> {
            fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
                while let Some(member) = &mut self.member {
                    let produced = member.read(bytes)?;
                    if produced > 0 || bytes.is_empty() {
                        return Ok(produced);
                    }
                    if let Some(member) = self.member.take() {
                        self.begin_next(member.into_file())?;
                    }
                }
                Ok(0)
            }
        }
    };
}
impl_read!(flate2::bufread::GzDecoder<BufReader<R>>);
impl_read!(bzip2::bufread::BzDecoder<BufReader<R>>);

impl Trailer {
    /// Reads `file` from the end of the last member to its end.
    ///
    /// # Errors
    /// `InvalidData` for bytes of no known kind: the start of a member may be damaged.
    fn read(file: &mut impl BufRead) -> Result<Self> {
        let mut metadata = Vec::new();
        file.by_ref().take(MAX_METADATA as u64).read_to_end(&mut metadata)?;
        let mut len = metadata.len() as u64;
        let mut is_rest_zero = true;
        loop {
            let bytes = file.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            is_rest_zero &= is_all_zero(bytes);
            file.consume(count);
            len += count as u64;
        }
        let padding = metadata.iter().rev().take_while(|byte| **byte == 0).count();
        metadata.truncate(metadata.len() - padding);
        if is_rest_zero && metadata.is_empty() {
            Ok(Self::Zeros(len))
        } else if is_rest_zero && is_openwrt(&metadata) {
            Ok(Self::OpenWrt(len))
        } else {
            let message = format!("the {len} bytes after its stream are neither padding nor known metadata");
            Err(Error::new(ErrorKind::InvalidData, message))
        }
    }
}

/// Whether `metadata`, without padding, ends as the metadata of `OpenWrt`.
fn is_openwrt(metadata: &[u8]) -> bool {
    let end = &metadata[metadata.len().saturating_sub(OPENWRT_END)..];
    end.windows(OPENWRT_MAGIC.len()).any(|window| window == OPENWRT_MAGIC)
}

impl fmt::Display for Trailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeros(len) => write!(f, "{len} bytes of padding"),
            Self::OpenWrt(len) => write!(f, "{len} bytes of OpenWrt's metadata"),
        }
    }
}
