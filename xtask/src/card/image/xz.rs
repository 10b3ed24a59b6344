//! The memory that the decompression of an xz file takes, read from its first block header (the .xz file format,
//! version 1.2.0, sections 2.1.1, 3.1 and 5.3.1).

/// The length of the stream header before the first block, in bytes.
const STREAM_HEADER: usize = 12;
/// The maximal length of the stream header and the first block header, in bytes.
pub const HEADERS: u64 = STREAM_HEADER as u64 + 1024;
/// The id of the filter with a dictionary, the last filter of a block.
const LZMA2: u64 = 0x21;

/// The window of the decompression in bytes: the dictionary size of the first block of the file that begins with
/// `head`. `None` where the block header cannot be parsed.
pub fn window(head: &[u8]) -> Option<u64> {
    let mut header = head.get(STREAM_HEADER + 1..)?;
    let flags = take(&mut header, 1)?[0];
    let has_compressed_size = flags & 0x40 != 0;
    let has_content_size = flags & 0x80 != 0;
    for is_present in [has_compressed_size, has_content_size] {
        if is_present {
            take_number(&mut header)?;
        }
    }
    let filters = (flags & 3) + 1;
    for _ in 0..filters {
        let id = take_number(&mut header)?;
        let len = take_number(&mut header)?;
        let properties = take(&mut header, usize::try_from(len).ok()?)?;
        if id == LZMA2 {
            return dictionary_size(*properties.first()?);
        }
    }
    None
}

/// Takes the first `len` of `bytes`; `None` where there are fewer.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a number from the beginning of `bytes`: groups of seven bits, the lowest first (section 1.2).
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
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

/// The dictionary size in bytes that `bits` encode (section 5.3.1); `None` for reserved values.
fn dictionary_size(bits: u8) -> Option<u64> {
    match bits {
        0..40 => Some((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
        40 => Some(u64::from(u32::MAX)),
        _ => None,
    }
}

/// The largest of the dictionary sizes of the format that is at most `max` bytes; 0 where all are larger.
pub fn largest_dictionary_size(max: u64) -> u64 {
    (0..=40).filter_map(dictionary_size).take_while(|size| *size <= max).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    use liblzma::write::XzEncoder;

    use super::*;

    /// An xz file that was compressed with `filters`.
    fn xz_file(filters: &Filters) -> Vec<u8> {
        let stream = Stream::new_stream_encoder(filters, Check::Crc64).unwrap();
        let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(b"an image").unwrap();
        encoder.finish().unwrap()
    }

    /// The options of the filter LZMA2 with a dictionary of `size` bytes.
    fn lzma2(size: u32) -> LzmaOptions {
        let mut options = LzmaOptions::new_preset(0).unwrap();
        options.dict_size(size);
        options
    }

    #[test]
    fn the_window_is_the_dictionary_of_the_first_block() {
        for size in [4 << 10, 1 << 20, 3 << 20, 64 << 20, 192 << 20] {
            let file = xz_file(Filters::new().lzma2(&lzma2(size)));
            assert_eq!(window(&file), Some(size.into()), "{size}");
            let file = xz_file(Filters::new().arm64().lzma2(&lzma2(size)));
            assert_eq!(window(&file), Some(size.into()), "after a filter: {size}");
        }
    }

    #[test]
    fn the_largest_dictionary_has_4_gib_less_one_byte() {
        assert_eq!(dictionary_size(40), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn a_damaged_header_has_no_window() {
        let file = xz_file(Filters::new().lzma2(&lzma2(1 << 20)));
        for len in 0..17 {
            assert_eq!(window(&file[..len]), None, "{len} bytes");
        }
        assert_eq!(dictionary_size(41), None);
        assert_eq!(window(&[0xff; 64]), None);
    }

    #[test]
    fn a_number_is_rounded_down_to_a_dictionary_size() {
        for (max, size) in [(4095, 0), (4096, 4096), (3 << 29, 3 << 29), ((2 << 30) - 1, 3 << 29)] {
            assert_eq!(largest_dictionary_size(max), size, "{max}");
        }
    }

    #[test]
    fn fuzz() {
        let file = xz_file(Filters::new().arm64().lzma2(&lzma2(64 << 20)));
        crate::base::fuzz::check(&[&file], window);
    }
}
