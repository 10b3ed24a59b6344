//! The content of files of a state, as debugfs reads it: in memory, or in a file without a name.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::bail;
use crate::base::{Phase, is_all_zero, memfd};
use crate::card::saved_state::check_stop;

/// The largest file that is kept in memory, in bytes.
const MAX_IN_MEMORY: u64 = 256 << 10;
/// The bytes that are read and hashed at once.
const PIECE: usize = 256 << 10;

/// An empty file for `size` bytes, which children inherit. A large one is in `folder`.
pub fn empty_file(folder: &Path, size: u64) -> Result<File> {
    if size <= MAX_IN_MEMORY {
        return memfd::file("content");
    }
    let file =
        tempfile::tempfile_in(folder).with_context(|| format!("making a file in {}", folder.display()))?;
    memfd::inheritable(&file).context("opening a file a second time")
}

/// Copies `content`, which must have `size` bytes, to an [`empty_file`]. Returns it, and its hash.
///
/// # Errors
/// `Refused` for another size, and `Interrupted` once `cancel` is set.
pub fn copy(
    folder: &Path,
    size: u64,
    content: &mut dyn Read,
    cancel: &AtomicBool,
    phase: &mut Phase,
) -> Result<(File, blake3::Hash)> {
    let file = empty_file(folder, size)?;
    let mut hasher = blake3::Hasher::new();
    // One byte more than a small file has, to find one that has grown.
    let mut piece = vec![0; PIECE.min(usize::try_from(size)?.saturating_add(1))];
    let mut at = 0;
    while at <= size {
        check_stop(cancel)?;
        let count = content.read(&mut piece).context("reading the content of a file")?;
        if count == 0 {
            break;
        }
        let bytes = &piece[..count];
        hasher.update(bytes);
        // A hole takes no room.
        if !is_all_zero(bytes) {
            file.write_all_at(bytes, at).context("writing the content of a file")?;
        }
        at += count as u64;
        phase.advance(count);
    }
    if at != size {
        bail!(Refused, "a file of the state changed its size while it was read, from {size} bytes");
    }
    file.set_len(size).context("writing the content of a file")?;
    Ok((file, hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;

    #[test]
    fn a_file_of_another_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let copied = |size, content: &[u8]| {
            let mut phase = Phase::begin(&Silent, "state", None);
            copy(dir.path(), size, &mut &*content, &AtomicBool::new(false), &mut phase)
        };
        for size in [0, 3, 5, MAX_IN_MEMORY + 1, 3 * MAX_IN_MEMORY] {
            let content = vec![7; usize::try_from(size).unwrap()];
            let (file, hash) = copied(size, &content).unwrap();
            let mut read = vec![0; content.len()];
            file.read_exact_at(&mut read, 0).unwrap();
            assert_eq!((hash, read == content), (blake3::hash(&content), true));
            for other in [size + 1, size.saturating_sub(1)].into_iter().filter(|other| *other != size) {
                let error = copied(other, &content).unwrap_err().to_string();
                assert_eq!(
                    error,
                    format!("a file of the state changed its size while it was read, from {other} bytes")
                );
            }
        }
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
