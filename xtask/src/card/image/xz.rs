//! How much memory an xz file takes to decompress, read off its first block header (the .xz file format,
//! version 1.2.0, sections 2.1.1, 3.1 and 5.3.1).

/// The stream header before the first block, in bytes.
const STREAM_HEADER: usize = 12;
/// How many bytes the headers of a file have at most; more than any other format needs to be told by.
pub const HEADERS: u64 = STREAM_HEADER as u64 + 1024;
/// The number of the filter that looks back, the last one of a block.
const LZMA2: u64 = 0x21;

/// How far back the first block of the file that begins with `head` looks, in bytes; nothing where that cannot
/// be told.
pub fn window(head: &[u8]) -> Option<u64> {
    let mut header = head.get(STREAM_HEADER + 1..)?;
    let flags = take(&mut header, 1)?[0];
    for given in [flags & 0x40, flags & 0x80] {
        if given != 0 {
            number(&mut header)?;
        }
    }
    for _ in 0..=flags & 3 {
        let (id, len) = (number(&mut header)?, number(&mut header)?);
        let properties = take(&mut header, usize::try_from(len).ok()?)?;
        if id == LZMA2 {
            return dictionary(*properties.first()?);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// A number in pieces of seven bits, the lowest first (section 1.2).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn dictionary(bits: u8) -> Option<u64> {
    match bits {
        0..40 => Some((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
        40 => Some(u64::from(u32::MAX)),
        _ => None,
    }
}

/// The largest dictionary with which a decoder takes no more than `memory` bytes.
pub fn dictionary_within(memory: u64) -> u64 {
    (0..=40).filter_map(dictionary).take_while(|size| *size <= memory).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    use liblzma::write::XzEncoder;

    use super::*;

    fn packed(filters: &Filters) -> Vec<u8> {
        let stream = Stream::new_stream_encoder(filters, Check::Crc64).unwrap();
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"an image").unwrap();
        encoder.finish().unwrap()
    }

    fn lzma2(dictionary: u32) -> LzmaOptions {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(dictionary);
        options
    }

    #[test]
    fn what_the_first_block_looks_back() {
        for size in [4 << 10, 1 << 20, 3 << 20, 64 << 20, 192 << 20] {
            let file = packed(Filters::new().lzma2(&lzma2(size)));
            assert_eq!(window(&file), Some(size.into()), "{size}");
            let file = packed(Filters::new().arm64().lzma2(&lzma2(size)));
            assert_eq!(window(&file), Some(size.into()), "after a filter: {size}");
        }
        assert_eq!(dictionary(40), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn what_is_no_block() {
        let file = packed(Filters::new().lzma2(&lzma2(1 << 20)));
        for len in 0..17 {
            assert_eq!(window(&file[..len]), None, "{len} bytes");
        }
        assert_eq!(dictionary(41), None);
        assert_eq!(window(&[0xff; 64]), None);
    }

    #[test]
    fn fuzz() {
        let file = packed(Filters::new().arm64().lzma2(&lzma2(64 << 20)));
        crate::base::fuzz::check(&[&file], window);
        assert_eq!(dictionary_within((3 << 29) + 70_000), 3 << 29);
    }
}
