//! The frames of a zstd file, read from header to header without decompressing (RFC 8878, section 3.1): whether the
//! file is truncated, the size of its content, and the memory of its decompression. The content of the blocks is not
//! checked.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;

use super::decode::DOWNLOAD_AGAIN;
use super::limits::{TOO_MANY_PARTS, max_parts};
use crate::{bail, failure};

/// The sums of the headers of all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The decompressed size in bytes; `None` where a frame does not have its size.
    pub content_size: Option<u64>,
    /// The largest window in bytes, which is the memory that the decompression takes.
    pub window: u64,
    /// Whether a frame needs a dictionary.
    pub needs_dictionary: bool,
}

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The length of the longest header after the magic number: descriptor, window, dictionary and content size.
const MAX_HEADER: usize = 14;

/// The header of one frame.
struct Header {
    /// The length in bytes, without the magic number.
    len: u64,
    content_size: Option<u64>,
    window: u64,
    needs_dictionary: bool,
    checksum: bool,
}

/// Reads the headers of `file`, which is `len` bytes long, to its end.
///
/// # Errors
/// [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a file that is truncated, has something else than
/// frames, or has more frames than any program makes.
pub fn walk(file: &File, len: u64) -> Result<Frames> {
    let mut frames = Frames { content_size: Some(0), window: 0, needs_dictionary: false };
    let mut file = Headers::new(file, len);
    let mut at = 0;
    let mut left = max_parts(len);
    while at < len {
        left = left.checked_sub(1).ok_or_else(|| failure!(Refused, "{TOO_MANY_PARTS}"))?;
        let magic = file.read::<4>(at)?;
        if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
            at += 8 + u64::from(u32::from_le_bytes(file.read(at + 4)?));
        } else if magic == MAGIC {
            let header = Header::read(&mut file, at + 4)?;
            at = skip_blocks(&mut file, at + 4 + header.len)? + if header.checksum { 4 } else { 0 };
            frames.content_size =
                frames.content_size.zip(header.content_size).map(|(sum, size)| sum.saturating_add(size));
            frames.window = frames.window.max(header.window);
            frames.needs_dictionary |= header.needs_dictionary;
        } else {
            bail!(Refused, "there is no zstd frame at byte {at}"; hint: "{DOWNLOAD_AGAIN}");
        }
    }
    if at > len { Err(truncated_error(len)) } else { Ok(frames) }
}

/// A buffered reader of the headers in a file, which may lie close together.
struct Headers<'a> {
    file: &'a File,
    len: u64,
    /// The bytes that were read last, and their offset in the file.
    buffer: Vec<u8>,
    start: u64,
}

impl<'a> Headers<'a> {
    /// The number of bytes that are read at once.
    const BUFFER: u64 = 4096;

    fn new(file: &'a File, len: u64) -> Self {
        Self { file, len, buffer: Vec::new(), start: 0 }
    }

    fn read<const N: usize>(&mut self, at: u64) -> Result<[u8; N]> {
        self.up_to(at, N)?.first_chunk().copied().ok_or_else(|| truncated_error(self.len))
    }

    /// The `count` bytes from `at` on, or fewer where the file ends.
    fn up_to(&mut self, at: u64, count: usize) -> Result<&[u8]> {
        let end = at.saturating_add(count as u64).min(self.len);
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            self.buffer.resize(usize::try_from(self.len.saturating_sub(at).min(Self::BUFFER))?, 0);
            self.file.read_exact_at(&mut self.buffer, at)?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start)?;
        Ok(self.buffer.get(from..).map_or(&[], |rest| &rest[..rest.len().min(count)]))
    }
}

impl Header {
    fn read(file: &mut Headers, at: u64) -> Result<Self> {
        let file_len = file.len;
        let bytes = file.up_to(at, MAX_HEADER)?;
        let available = bytes.len();
        let mut head = [0; MAX_HEADER];
        head[..available].copy_from_slice(bytes);
        let descriptor = head[0];
        let single = descriptor & 0x20 != 0;
        let window_len = usize::from(!single);
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content_len = match descriptor >> 6 {
            0 => usize::from(single),
            flag => 1 << flag,
        };
        let from = 1 + window_len + dictionary;
        if available < from + content_len {
            return Err(truncated_error(file_len));
        }
        // The id 0 means no dictionary.
        let needs_dictionary = head[1 + window_len..from].iter().any(|byte| *byte != 0);
        let content_size = content_size(&head[from..from + content_len]);
        let window = if single { content_size.unwrap_or_default() } else { window(head[1]) };
        let len = (from + content_len) as u64;
        Ok(Self { len, content_size, window, needs_dictionary, checksum: descriptor & 4 != 0 })
    }
}

/// The size of the content by the field of 0, 1, 2, 4 or 8 bytes (section 3.1.1.1.4).
fn content_size(field: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..field.len()].copy_from_slice(field);
    let value = u64::from_le_bytes(bytes);
    match field.len() {
        0 => None,
        2 => Some(value + 256),
        _ => Some(value),
    }
}

/// The window size in bytes (section 3.1.1.1.2).
fn window(descriptor: u8) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

/// The end of the blocks that begin at `at` (section 3.1.1.2).
fn skip_blocks(file: &mut Headers, mut at: u64) -> Result<u64> {
    loop {
        let [low, middle, high] = file.read::<3>(at)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let size = match (header >> 1) & 3 {
            1 => 1,
            3 => bail!(Refused, "the block at byte {at} is of no known type"; hint: "{DOWNLOAD_AGAIN}"),
            _ => u64::from(header >> 3),
        };
        at += 3 + size;
        if header & 1 == 1 {
            return Ok(at);
        }
    }
}

fn truncated_error(len: u64) -> anyhow::Error {
    failure!(Refused, "it ends at byte {len} in the middle of a frame"; hint: "{DOWNLOAD_AGAIN}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn walked(bytes: &[u8]) -> Result<Frames> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        walk(&file, bytes.len() as u64)
    }

    fn packed(size: usize, known: bool, checksum: bool) -> Vec<u8> {
        let content = (0..size).map(|at| u8::try_from(at * at % 251).unwrap()).collect::<Vec<_>>();
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.set_pledged_src_size(known.then_some(size as u64)).unwrap();
        encoder.write_all(&content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn sizes_of_all_frames_are_summed_up() {
        for size in [0, 1, 255, 256, 300, 65_791, 65_792, 3 << 20] {
            for checksum in [false, true] {
                let frame = packed(size, true, checksum);
                assert_eq!(walked(&frame).unwrap().content_size, Some(size as u64), "{size}");
            }
        }
        let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let many = [packed(9000, true, true), skippable, packed(1 << 20, true, false)].concat();
        assert_eq!(walked(&many).unwrap().content_size, Some(9000 + (1 << 20)));
        let one_silent = [packed(9000, true, true), packed(7, false, false)].concat();
        assert_eq!(walked(&one_silent).unwrap().content_size, None);
    }

    #[test]
    fn a_frame_with_a_dictionary_is_found() {
        for (flag, id) in [(1, &[7][..]), (2, &[0, 7]), (3, &[0, 0, 0, 7])] {
            let frame = |id: &[u8]| [&MAGIC[..], &[flag, 0x58], id, &[1, 0, 0]].concat();
            assert!(walked(&frame(id)).unwrap().needs_dictionary);
            assert!(walked(&[frame(id), packed(300, true, true)].concat()).unwrap().needs_dictionary);
            // The id 0 means no dictionary.
            assert!(!walked(&frame(&vec![0; id.len()])).unwrap().needs_dictionary);
        }
    }

    #[test]
    fn the_window_is_the_memory_it_takes() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&[0; 1000]).unwrap();
        assert_eq!(walked(&encoder.finish().unwrap()).unwrap().window, 128 << 20);
        assert_eq!(walked(&packed(300, true, false)).unwrap().window, 300);
    }

    #[test]
    fn a_truncated_file_and_trailing_data_are_refused() {
        let whole = packed(3 << 20, true, true);
        for len in [3, 5, 9, 20, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
            let error = walked(&whole[..len]).unwrap_err();
            assert_eq!(error.to_string(), format!("it ends at byte {len} in the middle of a frame"));
        }
        let error = walked(&[&whole, &b"garbage"[..]].concat()).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no zstd frame at byte {}", whole.len()));
    }

    /// A frame of many empty blocks, and many empty frames.
    #[test]
    fn blocks_and_frames_without_content_are_limited() {
        let head = [&MAGIC[..], &[0, 0x58]].concat();
        let blocks = [&head[..], &vec![0; 3 * 3_000_000], &[1, 0, 0]].concat();
        let begin = crate::base::fuzz::cpu_time();
        assert_eq!(
            walked(&blocks).unwrap(),
            Frames { content_size: None, window: 2 << 20, needs_dictionary: false }
        );
        let used = crate::base::fuzz::cpu_time().saturating_sub(begin);
        assert!(used.as_secs() < 5, "{used:?}");
        let frame = [&head[..], &[1, 0, 0]].concat();
        assert_eq!(walked(&frame.repeat(60_000)).unwrap().content_size, None);
        for part in [&frame[..], b"\x50\x2a\x4d\x18\0\0\0\0"] {
            assert_eq!(walked(&part.repeat(100_000)).unwrap_err().to_string(), TOO_MANY_PARTS);
        }
    }

    #[test]
    fn the_window_of_a_later_frame_counts() {
        let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        // 2 GiB; and a content of 1 GiB in one piece, which is its window as well.
        let long = [&MAGIC[..], &[0, 21 << 3, 1, 0, 0]].concat();
        let single = [&MAGIC[..], &[0xa0, 0, 0, 0, 0x40, 1, 0, 0]].concat();
        for (frame, window) in [(long, 2 << 30), (single, 1 << 30)] {
            let file = [packed(9000, true, true), skippable.clone(), frame].concat();
            assert_eq!(walked(&file).unwrap().window, window);
        }
    }

    #[test]
    fn fuzz() {
        let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let many = [packed(9000, true, true), skippable, packed(3 << 10, false, false)].concat();
        crate::base::fuzz::check(&[&packed(300, true, true), &many], |bytes| walked(bytes).is_ok());
    }
}
