//! Decompression within the limits of memory and of the number of parts.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};

use liblzma::stream::{Action, CONCATENATED, Status, Stream};

use super::limits::OutOfMemory;
use super::members::Members;
use super::xz::largest_dictionary_size;

/// The hint for a file that is truncated or damaged.
pub const DOWNLOAD_AGAIN: &str = "build or download it again";
/// The memory that liblzma takes besides the dictionary, in bytes.
const LZMA_OVERHEAD: u64 = 1 << 20;
/// The range of window sizes of zstd, as powers of two.
const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=if usize::BITS < 64 { 30 } else { 31 };

/// A decoder of zstd.
pub struct Zstd<R: Read>(zstd::Decoder<'static, BufReader<R>>);

impl<R: Read> Zstd<R> {
    /// Decodes `file`; `max_window` in bytes is rounded up to the next power of two in [`WINDOW_LOGS`].
    pub fn new(file: R, max_window: u64) -> Result<Self> {
        let mut decoder = zstd::Decoder::new(file)?;
        let window_log = max_window.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
        decoder.window_log_max(window_log.clamp(*WINDOW_LOGS.start(), *WINDOW_LOGS.end()))?;
        Ok(Self(decoder))
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        self.0.read(bytes).map_err(|error| match error.get_ref() {
            // The words of zstd for an allocation that fails.
            Some(reason) if reason.to_string().contains("not enough memory") => {
                OutOfMemory::Memory.io_error()
            }
            _ => error,
        })
    }
}

/// A decoder of xz.
pub struct Xz<R> {
    file: BufReader<R>,
    stream: Stream,
    /// The limit of the dictionary size, in bytes.
    max_dictionary: u64,
    is_at_end: bool,
}

impl<R: Read> Xz<R> {
    /// Decodes `file`. A dictionary that exceeds `max_dictionary` bytes by [`LZMA_OVERHEAD`] is an error.
    pub fn new(file: R, max_dictionary: u64) -> Result<Self> {
        let limit = max_dictionary.saturating_add(LZMA_OVERHEAD);
        let stream = Stream::new_stream_decoder(limit, CONCATENATED)?;
        Ok(Self { file: BufReader::with_capacity(64 << 10, file), stream, max_dictionary, is_at_end: false })
    }

    /// The error for a block whose dictionary is too large.
    fn too_large_error(&mut self) -> Error {
        // The decoder rejects every limit below the memory that it needs: a binary search finds that memory.
        let mut low = self.max_dictionary;
        let mut high = 1 << 40;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.stream.set_memlimit(middle).is_ok() { high = middle } else { low = middle + 1 }
        }
        // That memory is the dictionary and a small overhead, so rounding it down gives the dictionary.
        OutOfMemory::Limit { wanted: largest_dictionary_size(low), limit: self.max_dictionary }.io_error()
    }

    /// Decodes buffered input to `bytes` once. Returns the number of decoded bytes, which may be 0 before the end.
    fn decode_once(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let input = self.file.fill_buf()?;
        let is_end_of_file = input.is_empty();
        let action = if is_end_of_file { Action::Finish } else { Action::Run };
        let input_before = self.stream.total_in();
        let output_before = self.stream.total_out();
        let status = self.stream.process(input, bytes, action);
        let difference = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let consumed = difference(self.stream.total_in(), input_before);
        let produced = difference(self.stream.total_out(), output_before);
        self.file.consume(consumed);
        match status {
            Err(liblzma::stream::Error::MemLimit) => Err(self.too_large_error()),
            Err(liblzma::stream::Error::Mem) => Err(OutOfMemory::Memory.io_error()),
            Err(error) => Err(error.into()),
            Ok(Status::StreamEnd) => {
                self.is_at_end = true;
                Ok(produced)
            }
            Ok(_) if produced == 0 && is_end_of_file => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if produced == 0 && consumed == 0 => Err(ErrorKind::InvalidData.into()),
            Ok(_) => Ok(produced),
        }
    }
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        while !self.is_at_end && !bytes.is_empty() {
            let produced = self.decode_once(bytes)?;
            if produced > 0 {
                return Ok(produced);
            }
        }
        Ok(0)
    }
}

/// A decoder of gzip.
pub type Gzip<R> = Members<flate2::bufread::GzDecoder<BufReader<R>>>;
/// A decoder of bzip2, which takes less than 4 MiB of memory.
pub type Bzip2<R> = Members<bzip2::bufread::BzDecoder<BufReader<R>>>;

#[cfg(test)]
mod tests {
    use super::super::limits::TOO_MANY_PARTS;
    use super::super::members::FoundTrailer;
    use super::*;
    use liblzma::stream::{Check, Filters, LzmaOptions};
    use std::io::Write;

    /// The text `an image` as xz, with a dictionary of this size in bytes.
    fn xz(dictionary: u32) -> Vec<u8> {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(dictionary);
        let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64).unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"an image").unwrap();
        encoder.finish().unwrap()
    }

    /// An xz stream whose header has these bits for the size of its dictionary.
    fn with_dictionary_bits(bits: u8) -> Vec<u8> {
        let mut file = xz(1 << 20);
        let bits_offset = file.windows(2).position(|pair| pair == [0x21, 1]).unwrap() + 2;
        file[bits_offset] = bits;
        let header_len = (usize::from(file[12]) + 1) * 4;
        let crc_offset = 12 + header_len - 4;
        let mut crc = flate2::Crc::new();
        crc.update(&file[12..crc_offset]);
        file[crc_offset..crc_offset + 4].copy_from_slice(&crc.sum().to_le_bytes());
        file
    }

    /// All bytes of `decoder`.
    fn read_all(mut decoder: impl Read) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn decode_xz(file: &[u8], max_dictionary: u64) -> Result<Vec<u8>> {
        read_all(Xz::new(file, max_dictionary)?)
    }

    #[test]
    fn a_dictionary_that_is_too_large_is_refused_in_every_stream() {
        let small = xz(1 << 20);
        assert_eq!(decode_xz(&[&small[..], &small].concat(), 1 << 20).unwrap(), b"an imagean image");
        // 1.5 GiB and 4 GiB, in the first stream and in a later one.
        for (bits, wanted) in [(37, 3 << 29), (40, u64::from(u32::MAX))] {
            let large = with_dictionary_bits(bits);
            for file in [large.clone(), [&small[..], &large].concat()] {
                let mut error = None;
                let memory = allocation_counter::measure(|| error = decode_xz(&file, 256 << 20).err());
                let expected = OutOfMemory::Limit { wanted, limit: 256 << 20 };
                assert_eq!(error.as_ref().and_then(OutOfMemory::cause_of), Some(expected), "{error:?}");
                assert!(memory.bytes_max < 1 << 20);
            }
        }
        assert_eq!(decode_xz(&with_dictionary_bits(37), 3 << 29).unwrap(), b"an image");
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The content of a gzip file, and the words for its trailer.
    fn decode_gzip(file: &[u8]) -> Result<(Vec<u8>, Option<String>)> {
        let trailer = FoundTrailer::default();
        let bytes = read_all(Gzip::new(file, file.len() as u64, trailer.clone()))?;
        Ok((bytes, trailer.get().map(ToString::to_string)))
    }

    #[test]
    fn all_gzip_members_are_decoded() {
        let content = |file: &[u8]| decode_gzip(file).map(|(bytes, _)| bytes);
        let two = [gzip(b"one"), gzip(b""), gzip(b"two")].concat();
        assert_eq!(content(&two).unwrap(), b"onetwo");
        assert!(content(&[&two[..], b"garbage"].concat()).is_err());
        assert!(content(&two[..two.len() - 1]).is_err());
        assert!(content(b"").is_err());
        assert_eq!(content(&gzip(b"").repeat(1000)).unwrap(), b"");
    }

    #[test]
    fn too_many_parts_without_content_are_refused() {
        let gz = gzip(b"").repeat(100_000);
        assert_eq!(decode_gzip(&gz).unwrap_err().to_string(), TOO_MANY_PARTS);
        let bz = bzip2(b"").repeat(100_000);
        let stream = Bzip2::new(&bz[..], bz.len() as u64, FoundTrailer::default());
        assert_eq!(read_all(stream).unwrap_err().to_string(), TOO_MANY_PARTS);
    }

    #[test]
    fn all_bzip2_streams_are_decoded() {
        let content = |file: &[u8]| read_all(Bzip2::new(file, file.len() as u64, FoundTrailer::default()));
        let two = [bzip2(b"one"), bzip2(b""), bzip2(b"two")].concat();
        assert_eq!(content(&two).unwrap(), b"onetwo");
        assert_eq!(content(&[&two[..], &[0; 700]].concat()).unwrap(), b"onetwo");
        for wrong in
            [&[&two[..], b"garbage"].concat(), &two[..two.len() - 1], &[&two[..], b"BZh9"].concat(), b""]
        {
            assert!(content(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Metadata as `fwtool` of `OpenWrt` appends it: a header, JSON, and an end with a magic number, a checksum, a type
    /// and a length.
    fn openwrt_metadata() -> Vec<u8> {
        let json = br#"{ "metadata_version": "1.1", "supported_devices": ["raspberrypi,4-model-b"] }"#;
        let len = u32::try_from(8 + json.len() + 16).unwrap();
        [&[0; 8][..], json, b"FWx0\x12\x34\x56\x78\x01\0\0\0", &len.to_be_bytes()].concat()
    }

    #[test]
    fn only_metadata_and_padding_may_follow_a_gzip_stream() {
        let one = gzip(b"one");
        let metadata = openwrt_metadata();
        let twice = metadata.repeat(2);
        let padded = [&metadata[..], &[0; 400]].concat();
        for (trailer, words) in [
            (&metadata[..], format!("{} bytes of OpenWrt's metadata", metadata.len())),
            (&twice, format!("{} bytes of OpenWrt's metadata", twice.len())),
            (&padded, format!("{} bytes of OpenWrt's metadata", padded.len())),
            (&[0; 1], "1 bytes of padding".to_owned()),
            (&vec![0; 3 << 20], "3145728 bytes of padding".to_owned()),
        ] {
            assert_eq!(decode_gzip(&[&one[..], trailer].concat()).unwrap(), (b"one".to_vec(), Some(words)));
        }
        let mut damaged_member = gzip(b"two");
        damaged_member[0] ^= 1;
        let truncated_member = &one[..one.len() - 3];
        for trailer in [
            &damaged_member[..],
            truncated_member,
            b"\x1f",
            b"{\"a\": 1}",
            &[&vec![0; 2 << 20][..], b"x"].concat(),
        ] {
            assert!(decode_gzip(&[&one[..], trailer].concat()).is_err(), "{}", trailer.escape_ascii());
        }
    }

    /// The decompression of any file stays within its memory limit.
    #[test]
    fn fuzz_decompression() {
        let content = (0..3000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        let [gz, bz] = [gzip(&content), bzip2(&content)];
        let padded = [&gz[..], &openwrt_metadata()].concat();
        let zstd = zstd::encode_all(&content[..], 1).unwrap();
        let xz = xz(1 << 20);
        let read = |stream: &mut dyn Read| std::io::copy(&mut stream.take(64 << 20), &mut std::io::sink());
        crate::base::fuzz::check(&[&gz, &gz.repeat(3), &padded], |file| {
            read(&mut Gzip::new(file, file.len() as u64, FoundTrailer::default()))
        });
        crate::base::fuzz::check(&[&bz, &bz.repeat(3)], |file| {
            read(&mut Bzip2::new(file, file.len() as u64, FoundTrailer::default()))
        });
        crate::base::fuzz::check(&[&zstd, &zstd.repeat(3)], |file| read(&mut Zstd::new(file, 64 << 20)?));
        crate::base::fuzz::check(&[&xz, &xz.repeat(3)], |file| read(&mut Xz::new(file, 64 << 20)?));
    }
}
