//! Frames of every form, and files that are truncated or hostile.

use super::*;
use std::io::Write;

fn frames_of(bytes: &[u8]) -> Result<Frames> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read_headers(&file, bytes.len() as u64)
}

/// The optional fields of a frame.
#[derive(Clone, Copy)]
struct Fields {
    has_size: bool,
    has_checksum: bool,
}

/// A frame of `size` bytes of content, with the size and a checksum.
fn frame(size: usize) -> Vec<u8> {
    frame_with(size, Fields { has_size: true, has_checksum: true })
}

/// A frame of `size` bytes of content, with these optional fields.
fn frame_with(size: usize, fields: Fields) -> Vec<u8> {
    let content = (0..size).map(|at| u8::try_from(at * at % 251).unwrap()).collect::<Vec<_>>();
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(fields.has_checksum).unwrap();
    encoder.set_pledged_src_size(fields.has_size.then_some(size as u64)).unwrap();
    encoder.write_all(&content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn sizes_of_all_frames_are_summed_up() {
    for size in [0, 1, 255, 256, 300, 65_791, 65_792, 3 << 20] {
        for has_checksum in [false, true] {
            let frame = frame_with(size, Fields { has_size: true, has_checksum });
            assert_eq!(frames_of(&frame).unwrap().content_size, Some(size as u64), "{size}");
        }
    }
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let without_checksum = frame_with(1 << 20, Fields { has_size: true, has_checksum: false });
    let many = [frame(9000), skippable, without_checksum].concat();
    assert_eq!(frames_of(&many).unwrap().content_size, Some(9000 + (1 << 20)));
    let without_size = frame_with(7, Fields { has_size: false, has_checksum: false });
    assert_eq!(frames_of(&[frame(9000), without_size].concat()).unwrap().content_size, None);
}

#[test]
fn a_frame_with_a_dictionary_is_found() {
    for (flag, id) in [(1, &[7][..]), (2, &[0, 7]), (3, &[0, 0, 0, 7])] {
        let with_dictionary = |id: &[u8]| [&MAGIC[..], &[flag, 0x58], id, &[1, 0, 0]].concat();
        assert!(frames_of(&with_dictionary(id)).unwrap().needs_dictionary);
        assert!(frames_of(&[with_dictionary(id), frame(300)].concat()).unwrap().needs_dictionary);
        // The id 0 means no dictionary.
        assert!(!frames_of(&with_dictionary(&vec![0; id.len()])).unwrap().needs_dictionary);
    }
}

#[test]
fn the_window_is_read_from_the_header() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&[0; 1000]).unwrap();
    assert_eq!(frames_of(&encoder.finish().unwrap()).unwrap().window, 128 << 20);
    assert_eq!(frames_of(&frame(300)).unwrap().window, 300);
}

#[test]
fn a_truncated_file_and_trailing_data_are_refused() {
    let whole = frame(3 << 20);
    for len in [3, 5, 9, 20, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
        let error = frames_of(&whole[..len]).unwrap_err();
        assert_eq!(error.to_string(), format!("it ends at byte {len} in the middle of a frame"));
    }
    let error = frames_of(&[&whole, &b"garbage"[..]].concat()).unwrap_err();
    assert_eq!(error.to_string(), format!("there is no zstd frame at byte {}", whole.len()));
}

/// The first file is one frame of many empty blocks; the others are many frames without content.
#[test]
fn many_empty_blocks_are_read_fast_and_too_many_empty_frames_are_refused() {
    let head = [&MAGIC[..], &[0, 0x58]].concat();
    let blocks = [&head[..], &vec![0; 3 * 3_000_000], &[1, 0, 0]].concat();
    let begin = crate::base::fuzz::cpu_time();
    assert_eq!(
        frames_of(&blocks).unwrap(),
        Frames { content_size: None, window: 2 << 20, needs_dictionary: false }
    );
    let used = crate::base::fuzz::cpu_time().saturating_sub(begin);
    assert!(used.as_secs() < 5, "{used:?}");
    let empty = [&head[..], &[1, 0, 0]].concat();
    assert_eq!(frames_of(&empty.repeat(60_000)).unwrap().content_size, None);
    for part in [&empty[..], b"\x50\x2a\x4d\x18\0\0\0\0"] {
        assert_eq!(frames_of(&part.repeat(100_000)).unwrap_err().to_string(), TOO_MANY_PARTS);
    }
}

#[test]
fn the_window_of_a_later_frame_counts() {
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    // A window of 2 GiB; and a single segment of 1 GiB of content, which is its window as well.
    let long = [&MAGIC[..], &[0, 21 << 3, 1, 0, 0]].concat();
    let single = [&MAGIC[..], &[0xa0, 0, 0, 0, 0x40, 1, 0, 0]].concat();
    for (last, window) in [(long, 2 << 30), (single, 1 << 30)] {
        let file = [frame(9000), skippable.clone(), last].concat();
        assert_eq!(frames_of(&file).unwrap().window, window);
    }
}

#[test]
fn fuzz() {
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let without_size = frame_with(3 << 10, Fields { has_size: false, has_checksum: false });
    let many = [frame(9000), skippable, without_size].concat();
    crate::base::fuzz::check(&[&frame(300), &many], |bytes| frames_of(bytes).is_ok());
}
